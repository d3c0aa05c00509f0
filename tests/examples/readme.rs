//! The README shows the quickstart example, and its links work.

use std::fs;
use std::path::Path;

#[test]
fn ten_lines_are_the_quickstart_example() {
    let example = include_str!("../../examples/quickstart.rs");
    let (_, program) = example.split_once("\n\n").expect("a header, then the program");
    assert!(
        include_str!("../../README.md").contains(program),
        "README.md does not show examples/quickstart.rs"
    );
}

#[test]
fn relative_links_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let mut links = 0;
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            assert!(root.join(target).exists(), "{page} links to `{target}`, which does not exist");
            links += 1;
        }
        assert!(links > 0 || page != "README.md", "{page} has no relative link: the test reads none");
    }
}
