//! The notifications of the distribution registry: one provider, as listen → payload → translate.

pub(crate) mod listen;
pub(crate) mod payload;
pub(crate) mod translate;
