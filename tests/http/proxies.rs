//! The page about proxies and clients.

#[test]
fn table_of_clients_is_what_the_findings_print() {
    let page = include_str!("../../src/http/proxies.md");
    let (_, table) = page.split_once("| client | GET, 429, 2 s |").unwrap();
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    let printed = [
        include_str!("../../findings/node_clients_retry_after.sh"),
        include_str!("../../findings/python_clients_retry_after.sh"),
    ]
    .map(|script| script.split_once("expected='").unwrap().1.split_once('\'').unwrap().0);
    let printed: Vec<_> = printed.iter().flat_map(|rows| rows.lines()).collect();
    assert_eq!(rows, printed);
    assert!(rows.len() >= 10, "{rows:?}");
}
