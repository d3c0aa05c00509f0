//! The example `completion`.

use crate::program::Program;

#[test]
fn bill_of_settled_reservations_is_what_was_counted() {
    let output = Program { example: "completion" }.run(&[], "");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let amounts = |heading: &str| text.split_once(heading).unwrap().1.lines().next().unwrap().to_owned();
    assert_eq!(amounts("bill: "), "4 requests, 44 tokens", "{text}");
    assert_eq!(amounts("counted: "), amounts("bill: "), "{text}");
    // More than estimated, and less.
    assert!(text.contains("estimated 11 tokens, used 15"), "{text}");
    assert!(text.contains("estimated 43 tokens, used 7"), "{text}");
    // A refusal by tokens leaves the request uncounted.
    assert!(text.contains("refused by tokens, retry after 54s\n  left: 7 requests, 59 tokens"), "{text}");
}
