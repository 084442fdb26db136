//! What to find: a filter and how to go about it.

use mongodb::bson::{Bson, Document, RawDocument, doc};
use mongodb::options::{FindOptions, Hint};
use serde::Deserialize;

use crate::error::NativeResult;

/// A query under construction.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) filter: Document,
    pub(crate) options: FindOptions,
}

impl Query {
    /// Everything that meets `filter`.
    pub(crate) fn of(filter: Document) -> Self {
        Self { filter, options: FindOptions::default() }
    }

    /// The document with that id.
    pub(crate) fn id(id: impl Into<String>) -> Self {
        Self::of(doc! { "_id": id.into() })
    }

    /// In that order.
    pub(crate) fn sort(mut self, sort: Document) -> Self {
        self.options.sort = Some(sort);
        self
    }

    /// At most so many.
    pub(crate) fn limit(mut self, limit: i64) -> Self {
        self.options.limit = Some(limit);
        // One answer holds them all, unless it would be too long.
        self.options.batch_size = u32::try_from(limit).ok();
        self
    }

    /// Only these fields.
    pub(crate) fn fields(mut self, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(1)));
        self.options.projection = Some(fields.collect());
        self
    }

    /// All but these fields.
    pub(crate) fn without(mut self, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(0)));
        self.options.projection = Some(fields.collect());
        self
    }

    /// By that index: the planner does not choose on a hot path.
    pub(crate) fn by(mut self, index: &str) -> Self {
        self.options.hint = Some(Hint::Name(index.to_owned()));
        self
    }
}

/// Reads a document, strings borrowed from it where the type wants them so.
pub(crate) fn read<'d, T: Deserialize<'d>>(document: &'d RawDocument) -> NativeResult<T> {
    Ok(mongodb::bson::deserialize_from_slice(document.as_bytes())?)
}
