//! The README shows the quickstart example. Links in all pages work, also where packages are
//! published without the rest of the repository.

use std::fs;
use std::path::Path;

/// Where `repository` in Cargo.toml shows files.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// Pages that crates.io shows and docs.rs includes.
const PUBLISHED: [&str; 5] = [
    "README.md",
    "backends/core/README.md",
    "backends/dynamodb/README.md",
    "backends/memory/README.md",
    "backends/mock/README.md",
];

const OTHERS: [&str; 7] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "PROMISES.md",
    "SECURITY.md",
    "benches/peers/README.md",
    "findings/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Returns the targets of `[text](target)` and of `[name]: target`, without their fragments.
fn links(page: &str) -> Vec<String> {
    let text = read(page);
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    let definitions =
        text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let targets = inline.chain(definitions.map(|(_, target)| target));
    targets
        .filter_map(|target| target.split('#').next())
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

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
fn published_pages_have_no_relative_links() {
    for page in PUBLISHED {
        for target in links(page) {
            assert!(
                target.starts_with("https://"),
                "{page} links to `{target}`, which is dead on the crate page"
            );
        }
    }
}

#[test]
fn links_to_the_repository_lead_to_files() {
    let mut seen = 0;
    for page in PUBLISHED.into_iter().chain(OTHERS) {
        for target in links(page) {
            if let Some(file) = target.strip_prefix(REPOSITORY) {
                assert!(
                    root().join(file).is_file(),
                    "{page} links to `{target}`, but there is no file `{file}`"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "the test reads only {seen} links");
}

#[test]
fn relative_links_lead_to_files() {
    let mut seen = 0;
    for page in OTHERS {
        let folder = root().join(page).parent().expect("a page in a folder").to_owned();
        for target in links(page).into_iter().filter(|target| !target.contains("://")) {
            assert!(folder.join(&target).exists(), "{page} links to `{target}`, which does not exist");
            seen += 1;
        }
    }
    assert!(seen > 50, "the test reads only {seen} links");
}

#[test]
fn rust_blocks_of_published_pages_are_compiled() {
    for page in PUBLISHED {
        let text = read(page);
        for fence in text.lines().filter(|line| line.starts_with("```")) {
            assert!(!fence.contains("ignore"), "{page} has a block `{fence}` that is not compiled");
        }
    }
}
