//! Names the other kinds of logs, so that a reader learns what is wrong with the whole file.

/// Returns what a line is, if it belongs to a well-known format that is not read.
pub(crate) fn name(line: &str) -> Option<&'static str> {
    let line = line.trim_start();
    if line.starts_with('{') {
        return Some("JSON; write its fields in Common Log Format first, for example with jq");
    }
    let mut words = line.split([' ', '\t']);
    let first = words.next().unwrap_or_default();
    let shapes = [Some(first), words.next(), words.next()].map(|word| shape(word.unwrap_or_default()));
    let [first_shape, second_shape, third_shape] = shapes.each_ref().map(String::as_str);
    if line.starts_with('#') || first_shape == "0-0-0" && second_shape == "0:0:0" {
        Some("the W3C format of IIS or CloudFront")
    } else if ["http", "https", "h2", "grpcs", "ws", "wss"].contains(&first)
        && second_shape.starts_with("0-0-0T")
    {
        Some("the format of an AWS load balancer")
    } else if first_shape == "0/0/0" && second_shape == "0:0:0"
        || line.starts_with('[') && is_weekday(&line[1..])
    {
        Some("an error log")
    } else if first_shape.starts_with("[0/Xx/0:0:0:0") {
        Some("a log with the time first, such as ssl_request_log of Apache")
    } else if first_shape.starts_with("[0-0-0T") {
        Some("the default format of Envoy")
    } else if [second_shape, third_shape].iter().any(|shape| shape.starts_with("[0/Xx/0:0:0:0.0]")) {
        Some("the format of HAProxy; its option `httplog clf` writes Common Log Format")
    } else if first_shape == "0.0" && shape(line.split_whitespace().nth(1).unwrap_or_default()) == "0" {
        Some("the native format of Squid; its `logformat combined` is read")
    } else {
        None
    }
}

/// Writes a word with `0` for each number, `X` for capital and `x` for small letters before digits.
fn shape(word: &str) -> String {
    let mut shape = String::new();
    for character in word.chars().take(64) {
        let class = match character {
            '0'..='9' => '0',
            'T' => 'T',
            'A'..='Z' => 'X',
            'a'..='z' => 'x',
            other => other,
        };
        if !(shape.ends_with(class) && class.is_ascii_alphanumeric()) {
            shape.push(class);
        }
    }
    shape
}

fn is_weekday(text: &str) -> bool {
    ["Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat ", "Sun "].iter().any(|day| text.starts_with(day))
}
