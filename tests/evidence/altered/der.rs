//! Changes of content in DER (X.690): for each element its tag, its length and bytes of its content.
//!
//! The elements are found by walking the structure: into constructed values, and into strings that hold DER themselves.
//! The list of certificate timestamps (RFC 6962, section 3.3) is none; its fields are found by their lengths.

use std::ops::Range;

/// How many of the elements of one content are changed in three bytes; of larger ones each is changed in one.
const THOROUGH_ELEMENTS_MAX: usize = 120;
/// The extension that holds certificate timestamps.
const SCT_LIST: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];

struct Element {
    /// The position in each list from the outermost, as in `0.2.1`.
    path: String,
    tag: usize,
    content: Range<usize>,
    is_walked: bool,
}

/// The changed contents, each with a note; nothing for what is not one element of DER.
pub(crate) fn changed(der: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Some(elements) = elements(der) else { return Vec::new() };
    let mut found = Vec::new();
    let mut flip = |note: String, at: usize, bits: u8| {
        let mut other = der.to_vec();
        other[at] ^= bits;
        found.push((note, other));
    };
    let is_thorough = elements.len() <= THOROUGH_ELEMENTS_MAX;
    for element in &elements {
        let path = &element.path;
        flip(format!("tag of {path}"), element.tag, 1);
        flip(format!("length of {path}"), element.content.start - 1, 1);
        let content = element.content.clone();
        if element.is_walked || content.is_empty() {
            continue;
        }
        let mut places = vec![content.start + content.len() / 2];
        if is_thorough {
            places.extend([content.start, content.end - 1]);
        }
        places.sort_unstable();
        places.dedup();
        for place in places {
            flip(format!("byte {} of {path}", place - content.start), place, 1);
        }
    }
    for (field, range) in transparency_fields(der, &elements) {
        flip(format!("{field} of the certificate timestamp"), range.start, 0x10);
        flip(format!("end of {field} of the certificate timestamp"), range.end - 1, 1);
    }
    found.push(("with a byte more".to_owned(), [der, &[0]].concat()));
    found.push(("cut".to_owned(), der[..der.len() - 1].to_vec()));
    found.extend(longer_length(der));
    found
}

/// The outermost length written with a byte more than it needs, which BER allows and DER does not.
fn longer_length(der: &[u8]) -> Option<(String, Vec<u8>)> {
    let written = match der[1] {
        short @ 0..0x80 => vec![0x81, short],
        long => [&[long + 1, 0], &der[2..2 + usize::from(long & 0x7f)]].concat(),
    };
    let after = 2 + if der[1] < 0x80 { 0 } else { usize::from(der[1] & 0x7f) };
    Some(("length in more bytes".to_owned(), [&der[..1], &written, &der[after..]].concat()))
}

fn elements(der: &[u8]) -> Option<Vec<Element>> {
    let mut found = Vec::new();
    walk(der, 0..der.len(), "", &mut found)?;
    let outermost = found.iter().filter(|element| !element.path.contains('.')).count();
    (outermost == 1 && der.first() == Some(&0x30)).then_some(found)
}

/// Adds all elements of a range, which must be nothing but elements.
fn walk(der: &[u8], range: Range<usize>, path: &str, found: &mut Vec<Element>) -> Option<()> {
    let mut at = range.start;
    for number in 0.. {
        if at == range.end {
            return Some(());
        }
        let content = content(der, at, range.end)?;
        let path = if path.is_empty() { number.to_string() } else { format!("{path}.{number}") };
        let index = found.len();
        found.push(Element { path: path.clone(), tag: at, content: content.clone(), is_walked: true });
        let inside = match der[at] {
            tag if tag & 0x20 != 0 => {
                walk(der, content.clone(), &path, found)?;
                true
            }
            // An octet string, and a bit string of whole bytes, may hold DER.
            4 => walk(der, content.clone(), &path, found).is_some() && !content.is_empty(),
            3 if der.get(content.start) == Some(&0) && content.len() > 1 => {
                walk(der, content.start + 1..content.end, &path, found).is_some()
            }
            _ => false,
        };
        if !inside {
            found.truncate(index + 1);
            found[index].is_walked = false;
        }
        at = content.end;
    }
    None
}

/// The content of the element that begins here, if it ends within the bound.
fn content(der: &[u8], at: usize, end: usize) -> Option<Range<usize>> {
    let tag = *der.get(at)?;
    if tag == 0 || tag & 0x1f == 0x1f {
        return None;
    }
    let (length, start) = match *der.get(at + 1)? {
        short @ 0..0x80 => (usize::from(short), at + 2),
        long => {
            let count = usize::from(long & 0x7f);
            let bytes = der.get(at + 2..at + 2 + count).filter(|bytes| (1..4).contains(&bytes.len()))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), at + 2 + count)
        }
    };
    (start + length <= end).then_some(start..start + length)
}

/// The fields of the first certificate timestamp of a certificate.
fn transparency_fields(der: &[u8], elements: &[Element]) -> Vec<(&'static str, Range<usize>)> {
    let name = elements.iter().position(|element| &der[element.content.clone()] == SCT_LIST);
    let list = name
        .and_then(|name| elements[name..].iter().find(|element| !element.is_walked && der[element.tag] == 4));
    let Some(list) = list.map(|element| element.content.clone()) else { return Vec::new() };
    let mut at = list.start;
    let mut fields = Vec::new();
    let mut field = |name: &'static str, length: usize| {
        fields.push((name, at..at + length));
        at += length;
        at
    };
    field("the list's length", 2);
    field("the length", 2);
    field("the version", 1);
    field("the log", 32);
    field("the time", 8);
    let after = field("the extensions' length", 2);
    let extensions = usize::from(u16::from_be_bytes([der[after - 2], der[after - 1]]));
    if extensions > 0 {
        field("the extensions", extensions);
    }
    field("the hash algorithm", 1);
    field("the signature algorithm", 1);
    let after = field("the signature's length", 2);
    let signature = usize::from(u16::from_be_bytes([der[after - 2], der[after - 1]]));
    field("the signature", signature);
    fields
}

#[test]
fn a_signature_is_changed_in_both_numbers_and_around_them() {
    let der = [0x30, 7, 2, 1, 5, 2, 2, 0, 0x81];
    let notes: Vec<String> = changed(&der).into_iter().map(|(note, _)| note).collect();
    let expected = [
        "tag of 0",
        "length of 0",
        "tag of 0.0",
        "length of 0.0",
        "byte 0 of 0.0",
        "tag of 0.1",
        "length of 0.1",
        "byte 0 of 0.1",
        "byte 1 of 0.1",
        "with a byte more",
        "cut",
        "length in more bytes",
    ];
    assert_eq!(notes, expected);
    assert!(changed(b"0 is no DER").is_empty() && changed(&[0x30, 1]).is_empty());
}
