//! The tables of the index as the database knows them.

use redb::TableDefinition;

use super::layout::Tree;

/// A change of the tables below is a new number: an index of another format is deleted and built anew from the log.
pub(super) const FORMAT: u32 = 6;

pub(super) type TreeDefinition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// What the index is: see the keys below.
pub(super) const META: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("index/meta");
/// The format of these tables and of the records in them, as text.
pub(super) const META_FORMAT: &str = "format";
/// Log id and generation, as text.
pub(super) const META_LOG: &str = "log";
/// The last position that was applied, big-endian.
pub(super) const META_POSITION: &str = "position";

pub(super) fn tree(tree: Tree) -> TreeDefinition {
    TableDefinition::new(tree.as_str())
}
