//! Where each value of a JSON text lies, so that one can be changed and every other byte stays as it was.

use std::ops::Range;

use serde::de::IgnoredAny;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    /// A number, a truth or null.
    Word,
}

/// One value of a JSON text.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its place as a JSON pointer; the root's is empty.
    pub(crate) place: String,
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
    /// With the key before it, where it has one.
    pub(crate) member: Range<usize>,
    pub(crate) parent: Option<usize>,
}

/// Every value in the order of the text, each before those inside it; nothing for what is not JSON.
pub(crate) fn nodes(text: &[u8]) -> Vec<Node> {
    if serde_json::from_slice::<IgnoredAny>(text).is_err() {
        return Vec::new();
    }
    let mut scanner = Scanner { text, at: 0, found: Vec::new() };
    scanner.value(String::new(), None, None);
    scanner.found
}

/// The value at a place, as it is written, if it holds anything.
pub(crate) fn written<'a>(text: &'a [u8], nodes: &[Node], place: &str) -> Option<&'a [u8]> {
    let found = nodes.iter().find(|node| node.place == place)?;
    (!holds_nothing(text, nodes, found)).then(|| &text[found.at.clone()])
}

/// Whether a value is none, or has none inside.
pub(crate) fn holds_nothing(text: &[u8], nodes: &[Node], node: &Node) -> bool {
    let is_inside = |other: &&Node| node.at.start <= other.at.start && other.at.end <= node.at.end;
    nodes.iter().filter(is_inside).all(|node| match node.kind {
        Kind::Object | Kind::Array => true,
        Kind::Text | Kind::Word => matches!(&text[node.at.clone()], b"\"\"" | b"null"),
    })
}

/// The text with one range of it replaced.
pub(crate) fn spliced(text: &[u8], at: &Range<usize>, with: &[u8]) -> Vec<u8> {
    [&text[..at.start], with, &text[at.end..]].concat()
}

/// What must go for a value to be gone: itself, its key and one comma.
pub(crate) fn removal(text: &[u8], node: &Node) -> Range<usize> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let after = node.member.end + text[node.member.end..].iter().take_while(|byte| is_space(byte)).count();
    if text.get(after) == Some(&b',') {
        return node.member.start..after + 1;
    }
    let before = text[..node.member.start].iter().rev().take_while(|byte| is_space(byte)).count();
    let before = node.member.start - before;
    let start = if text[..before].ends_with(b",") { before - 1 } else { node.member.start };
    start..node.member.end
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    found: Vec<Node>,
}

impl Scanner<'_> {
    fn value(&mut self, place: String, parent: Option<usize>, key_at: Option<usize>) {
        self.spaces();
        let (start, index) = (self.at, self.found.len());
        let kind = match self.text[start] {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::Text,
            _ => Kind::Word,
        };
        let member = key_at.unwrap_or(start)..start;
        self.found.push(Node { place: place.clone(), kind, at: start..start, member, parent });
        match kind {
            Kind::Object | Kind::Array => self.children(&place, index, kind),
            Kind::Text => self.text(),
            Kind::Word => {
                while self.text.get(self.at).is_some_and(|byte| !b",]} \t\r\n".contains(byte)) {
                    self.at += 1;
                }
            }
        }
        self.found[index].at.end = self.at;
        self.found[index].member.end = self.at;
    }

    fn children(&mut self, place: &str, index: usize, kind: Kind) {
        self.at += 1;
        for number in 0.. {
            self.spaces();
            match self.text[self.at] {
                b'}' | b']' => break,
                b',' => self.at += 1,
                _ => {}
            }
            self.spaces();
            let start = self.at;
            if kind == Kind::Array {
                self.value(format!("{place}/{number}"), Some(index), None);
                continue;
            }
            self.text();
            let key: String = serde_json::from_slice(&self.text[start..self.at]).unwrap();
            self.spaces();
            self.at += 1;
            let key = key.replace('~', "~0").replace('/', "~1");
            self.value(format!("{place}/{key}"), Some(index), Some(start));
        }
        self.at += 1;
    }

    fn text(&mut self) {
        self.at += 1;
        while self.text[self.at] != b'"' {
            self.at += if self.text[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
    }

    fn spaces(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}

#[test]
fn each_value_is_found_where_it_is_written() {
    let text = br#" {"a" : [1, "x\"]", {}], "b/c":null} "#;
    let found = nodes(text);
    let shown: Vec<(&str, &str)> = found
        .iter()
        .map(|node| (node.place.as_str(), std::str::from_utf8(&text[node.at.clone()]).unwrap()))
        .collect();
    let all = r#"{"a" : [1, "x\"]", {}], "b/c":null}"#;
    let expected = [
        ("", all),
        ("/a", r#"[1, "x\"]", {}]"#),
        ("/a/0", "1"),
        ("/a/1", r#""x\"]""#),
        ("/a/2", "{}"),
        ("/b~1c", "null"),
    ];
    assert_eq!(shown, expected);
    let gone = |index: usize| String::from_utf8(spliced(text, &removal(text, &found[index]), b"")).unwrap();
    assert_eq!(gone(1), r#" { "b/c":null} "#);
    assert_eq!(gone(4), r#" {"a" : [1, "x\"]"], "b/c":null} "#);
    assert_eq!(gone(5), r#" {"a" : [1, "x\"]", {}]} "#);
}
