//! Colours, where there are any.

use comfy_table::{Attribute, Cell, Color};

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn new(on: bool) -> Paint {
        Paint { on }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn waiting(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// The same in a cell of a table, which is as wide as its text.
    pub(crate) fn bad_cell(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.on { cell.fg(Color::DarkRed).add_attribute(Attribute::Bold) } else { cell }
    }

    pub(crate) fn waiting_cell(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.on { cell.fg(Color::DarkYellow) } else { cell }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self.on {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}
