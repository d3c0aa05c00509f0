//! RFC 8785, the canonical form of JSON.

use limited::mock::{MockBackend, Operation};
use limited::{Idempotency, ManualClock};
use pollster::block_on;
use serde_json::Value;

/// Returns the canonical form of a value, as a backend gets it.
fn canonical(value: &Value) -> String {
    let mock = MockBackend::new();
    let idempotency = Idempotency::new(mock.clone()).clock(ManualClock::new()).store_requests(true);
    block_on(idempotency.run("key", value, async || Ok::<_, String>(()))).unwrap();
    mock.calls_of(Operation::Claim)[0].claim_request().unwrap().metadata.request.unwrap().to_owned()
}

#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    // Section 3.2.2.3 and appendix B: the bits of a float, and its shortest text.
    for (bits, text) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        let number = f64::from_bits(bits);
        assert_eq!(canonical(&number.into()), text, "{bits:016x}");
        // The rule itself: the text is read back as the same float.
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), if number == 0.0 { 0 } else { bits });
    }
}

#[test]
fn powers_of_ten_change_their_notation_where_ecmascript_does() {
    // Section 3.2.2.3 refers to `Number::toString`: decimal from 1e-6 up to, but without, 1e21.
    for exponent in -30..=30_i32 {
        let value: f64 = format!("1e{exponent}").parse().unwrap();
        let expected = match exponent {
            0..=20 => format!("1{}", "0".repeat(usize::try_from(exponent).unwrap())),
            21.. => format!("1e+{exponent}"),
            -6..0 => format!("0.{}1", "0".repeat(usize::try_from(-1 - exponent).unwrap())),
            _ => format!("1e{exponent}"),
        };
        assert_eq!(canonical(&value.into()), expected);
    }
}

#[test]
fn control_characters_have_the_shortest_escapes() {
    // Section 3.2.2.2: seven short escapes, `\u00xx` in lower case for the others, and no more.
    for byte in 0..0x80_u8 {
        let expected = match byte {
            0x08 => "\\b".to_owned(),
            0x09 => "\\t".to_owned(),
            0x0a => "\\n".to_owned(),
            0x0c => "\\f".to_owned(),
            0x0d => "\\r".to_owned(),
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            0..0x20 => format!("\\u{byte:04x}"),
            _ => char::from(byte).to_string(),
        };
        assert_eq!(canonical(&char::from(byte).to_string().into()), format!("\"{expected}\""));
    }
    assert_eq!(canonical(&"\u{80}/é\u{2028}😀".into()), "\"\u{80}/é\u{2028}😀\"");
}

#[test]
fn members_are_sorted_by_utf16_code_units() {
    // Section 3.2.3: a surrogate pair (from U+D800) sorts before U+E000 and above.
    let sorted = ["", "\r", "1", "10", "2", "A", "a", "aa", "\u{80}", "ö", "€", "😀", "\u{e000}", "\u{fb33}"];
    let object: serde_json::Map<_, _> =
        sorted.iter().rev().map(|name| ((*name).to_owned(), Value::Null)).collect();
    let members = sorted.map(|name| format!("{}:null", canonical(&name.into())));
    assert_eq!(canonical(&Value::Object(object)), format!("{{{}}}", members.join(",")));
}

#[test]
fn nested_values_keep_the_order_of_arrays() {
    // Section 3.2.1: no space. Section 3.2.3: objects in arrays are sorted, arrays are not.
    let value = serde_json::json!([56, {"d": true, "10": null, "1": []}, [3, 2, {}], "b"]);
    assert_eq!(canonical(&value), r#"[56,{"1":[],"10":null,"d":true},[3,2,{}],"b"]"#);
}
