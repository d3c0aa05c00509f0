//! The README shows what there is.

#[test]
fn the_ten_lines_are_the_quickstart_example() {
    let example = include_str!("../examples/quickstart.rs");
    let (_, program) = example.split_once("\n\n").expect("a header, then the program");
    assert!(include_str!("../README.md").contains(program), "README.md does not show examples/quickstart.rs");
}
