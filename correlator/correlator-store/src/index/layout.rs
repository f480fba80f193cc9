//! Where rows lie in the file: what is about one digest lies together, whatever table it is in, and names that are hashes are
//! kept as bytes. Judging an image reads and changes few pages so, and a page holds more.
//!
//! In: the tables and keys of the ledger. Out: the tree and the key of a row, and back. The order of a table's keys stays
//! what it is for the ledger.

use correlator_core::records::Table;

use crate::receipt::{Lane, OutboxId};

/// A tree of rows in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    /// Of one table, under the keys that the ledger gives them.
    Own(Table),
    /// Of several tables, by a digest.
    ByDigest,
    /// By an event's id.
    ByEvent,
    /// Rows of the tree before that are not in it yet, those of one writing under its position: see
    /// [`gathered`](super::gathered).
    Gathered,
    /// Decisions that wait to be carried out, by [`outbox_key`].
    Outbox(Lane),
    /// The end results that sinks reported for decisions that are still in the outbox, by [`delivery_key`].
    Deliveries,
}

impl Tree {
    pub(super) const COUNT: usize = Table::ALL.len() + 4 + Lane::ALL.len();

    /// Each at the place of its number.
    pub(super) fn all() -> impl Iterator<Item = Tree> {
        let of_several = [Tree::ByDigest, Tree::ByEvent, Tree::Gathered, Tree::Deliveries];
        Table::ALL.into_iter().map(Tree::Own).chain(of_several).chain(Lane::ALL.into_iter().map(Tree::Outbox))
    }

    /// Below [`Tree::COUNT`], another one for each.
    pub(super) fn number(self) -> usize {
        match self {
            Tree::Own(table) => table as usize,
            Tree::ByDigest => Table::ALL.len(),
            Tree::ByEvent => Table::ALL.len() + 1,
            Tree::Deliveries => Table::ALL.len() + 2,
            Tree::Gathered => Table::ALL.len() + 3,
            Tree::Outbox(lane) => Table::ALL.len() + 4 + lane as usize,
        }
    }

    /// Its name in the file; those of the ledger's tables have no slash.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Tree::Own(table) => table.as_str(),
            Tree::ByDigest => "by_digest",
            Tree::ByEvent => "by_event",
            Tree::Gathered => "by_event/gathered",
            Tree::Deliveries => "outbox/deliveries",
            Tree::Outbox(Lane::Bus) => "outbox/bus",
            Tree::Outbox(Lane::Delivery) => "outbox/delivery",
            Tree::Outbox(Lane::Verification) => "outbox/verification",
        }
    }
}

/// Where a decision lies in its lane: in the order of positions.
pub(super) fn outbox_key(id: OutboxId) -> Vec<u8> {
    let mut key = id.position.to_be_bytes().to_vec();
    key.extend_from_slice(&id.index.to_be_bytes());
    key
}

/// Where the end result of one sink lies, behind the decision's own key.
pub(super) fn delivery_key(id: OutboxId, sink: &str) -> Vec<u8> {
    let mut key = outbox_key(id);
    key.extend_from_slice(sink.as_bytes());
    key
}

/// The decision that a key of these trees is about, and what stands behind it.
pub(super) fn outbox_id(key: &[u8]) -> Option<(OutboxId, &[u8])> {
    let (position, rest) = key.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let id = OutboxId { position: u64::from_be_bytes(*position), index: u32::from_be_bytes(*index) };
    Some((id, rest))
}

/// What all rows begin with that are about the same digest as this one.
pub(super) fn digest_of(tree: Tree, placed: &[u8]) -> Option<&[u8]> {
    let name = DIGESTS.iter().find(|name| Some(&name.number) == placed.first())?;
    placed.get(..=name.bytes).filter(|_| tree == Tree::ByDigest)
}

/// The first key behind all that begin with a prefix; nothing where there is none.
pub(super) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut behind = prefix.get(..=last)?.to_vec();
    *behind.last_mut()? += 1;
    Some(behind)
}

/// The rows of a table whose keys are this prefix, a hash, and a rest.
#[derive(Debug)]
pub(super) struct Family {
    table: Table,
    prefix: &'static str,
    pub(super) tree: Tree,
    /// Tells the rows of one hash apart by their table.
    mark: u8,
}

const FAMILIES: [Family; 5] = [
    Family { table: Table::Digests, prefix: "", tree: Tree::ByDigest, mark: 1 },
    Family { table: Table::Units, prefix: "image\u{1f}", tree: Tree::ByDigest, mark: 2 },
    Family { table: Table::Verdicts, prefix: "", tree: Tree::ByDigest, mark: 3 },
    Family { table: Table::Dependents, prefix: "verdict\u{1f}", tree: Tree::ByDigest, mark: 4 },
    Family { table: Table::SeenEvents, prefix: "id\u{1f}", tree: Tree::ByEvent, mark: 1 },
];
/// Behind every mark.
const BEHIND: u8 = u8::MAX;

/// How a hash is written in a key of the ledger, and in the file: a number, and its bytes.
struct Name {
    text: &'static str,
    number: u8,
    bytes: usize,
}

const DIGESTS: [Name; 2] =
    [Name { text: "sha256:", number: 1, bytes: 32 }, Name { text: "sha512:", number: 2, bytes: 64 }];
const EVENTS: [Name; 1] = [Name { text: "", number: 1, bytes: 32 }];

/// Which rows a scan of a table can meet.
pub(super) struct Reach {
    /// Rows in the table's own tree.
    pub(super) own: bool,
    /// Rows of its family.
    pub(super) family: Option<&'static Family>,
}

pub(super) fn family_of(table: Table) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.table == table)
}

/// Where a row lies.
pub(super) fn spot(table: Table, key: &str) -> (Tree, Vec<u8>) {
    let placed = family_of(table).and_then(|family| Some((family.tree, family.place(key)?)));
    placed.unwrap_or_else(|| (Tree::Own(table), key.as_bytes().to_vec()))
}

/// Where the rows are whose keys begin with a prefix and are not before a start.
pub(super) fn reach(table: Table, prefix: &str, start: &str) -> Reach {
    let Some(family) = family_of(table) else { return Reach { own: true, family: None } };
    // From there on the family's keys, which all begin with its prefix, are behind.
    let is_behind = start > family.prefix && !start.starts_with(family.prefix);
    let may_meet = prefix.starts_with(family.prefix) || family.prefix.starts_with(prefix);
    Reach { own: family.place(prefix).is_none(), family: (may_meet && !is_behind).then_some(family) }
}

impl Family {
    /// The key in the file, where the key is one of this family.
    pub(super) fn place(&self, key: &str) -> Option<Vec<u8>> {
        let rest = key.strip_prefix(self.prefix)?;
        let name = self.names().iter().find(|name| rest.starts_with(name.text))?;
        let hex = rest.get(name.text.len()..name.text.len() + 2 * name.bytes)?;
        let behind = &rest[name.text.len() + 2 * name.bytes..];
        let mut placed = Vec::with_capacity(2 + name.bytes + behind.len());
        placed.push(name.number);
        push_hex(&mut placed, hex)?;
        placed.push(self.mark);
        placed.extend_from_slice(behind.as_bytes());
        Some(placed)
    }

    /// A key in the file that is not behind any row of the family from this key of the ledger on.
    pub(super) fn from(&self, key: &str) -> Vec<u8> {
        if let Some(placed) = self.place(key) {
            return placed;
        }
        let begun = |name: &Name| {
            let hex = key.strip_prefix(self.prefix)?.strip_prefix(name.text)?;
            let whole_bytes = hex.get(..hex.len().min(2 * name.bytes) / 2 * 2)?;
            let mut placed = vec![name.number];
            push_hex(&mut placed, whole_bytes)?;
            Some(placed)
        };
        self.names().iter().find_map(begun).unwrap_or_default()
    }

    /// The key of the ledger, where a key in the file is one of this family.
    pub(super) fn key(&self, placed: &[u8]) -> Option<String> {
        let (name, hash, mark, rest) = self.parts(placed)?;
        if mark != self.mark {
            return None;
        }
        let rest = std::str::from_utf8(rest).ok()?;
        Some(format!("{}{}{}{rest}", self.prefix, name.text, hex::encode(hash)))
    }

    /// Where to go on from a row that is not of this family.
    pub(super) fn beyond(&self, placed: &[u8]) -> Option<Vec<u8>> {
        let (name, hash, mark, _) = self.parts(placed)?;
        let mut next = Vec::with_capacity(2 + name.bytes);
        next.push(name.number);
        next.extend_from_slice(hash);
        next.push(if mark < self.mark { self.mark } else { BEHIND });
        Some(next)
    }

    fn parts<'a>(&self, placed: &'a [u8]) -> Option<(&'static Name, &'a [u8], u8, &'a [u8])> {
        let (number, rest) = placed.split_first()?;
        let name = self.names().iter().find(|name| name.number == *number)?;
        let (hash, rest) = rest.split_at_checked(name.bytes)?;
        let (mark, rest) = rest.split_first()?;
        Some((name, hash, *mark, rest))
    }

    fn names(&self) -> &'static [Name] {
        match self.tree {
            Tree::ByDigest => &DIGESTS,
            Tree::ByEvent => &EVENTS,
            Tree::Own(_) | Tree::Gathered | Tree::Outbox(_) | Tree::Deliveries => &[],
        }
    }
}

/// Only what is written back the same: lower-case letters.
fn push_hex(bytes: &mut Vec<u8>, text: &str) -> Option<()> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    for pair in text.as_bytes().chunks_exact(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(())
}
