//! The example `login`.

use crate::program::Program;

#[test]
fn account_is_not_locked_out_by_attempts_from_other_addresses() {
    let output = Program { example: "login" }.run(&[], "");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let after = |heading: &str| text.split_once(heading).unwrap().1.lines().nth(1).unwrap().trim();
    assert_eq!(text.matches("401 Unauthorized").count(), 5, "{text}");
    assert_eq!(text.matches("429 Too Many Requests, retry after ").count(), 1, "{text}");
    assert_eq!(after("Alice is not locked out:"), "Welcome");
    assert_eq!(after("and is not locked out:"), "SecondFactor");
    assert_eq!(after("one password for many accounts:"), "106 of 200 are refused");
}
