//! How deep JSON text is nested, found without recursion and before anything is built from it.

/// The position of the first bracket in `json` that opens a level below `depth_max`. It looks at brackets outside strings
/// only and checks nothing else: the parser does.
pub(crate) fn deeper_than(json: &[u8], depth_max: usize) -> Option<usize> {
    let mut depth: usize = 0;
    let mut in_string = false;
    let mut escaped = false;
    for (position, byte) in json.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') if depth == depth_max => return Some(position),
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    None
}
