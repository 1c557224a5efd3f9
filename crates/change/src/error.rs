//! The one error of the product: what happened, what the reader should do, and where.
//!
//! One type instead of one per crate, so that code, hint, place and cause reach the user unchanged through every wall.
//! The kind is coarse on purpose: a new kind is justified only if a caller would act differently.

use std::fmt;
use std::ops::Range;

/// Shorthand for results of this crate's seams.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the reader of an error should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the SQL, the option or the environment; the error carries a hint.
    Usage,
    /// This row cannot be represented; a policy decides (stop, dead letter, NULL).
    Data,
    /// Someone else failed (server, network, disk); retried with backoff where it can help.
    Remote,
    /// Our place is gone (purged binlog, other owner): stop and ask.
    Fenced,
    /// We are wrong; please report it.
    Bug,
}

/// Where an error points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Byte range in the SQL text being planned.
    Sql(Range<usize>),
    /// A connector or session option by its name.
    Option(String),
    /// A place in a source, as people write it: `binlog.000003:4711`, `uuid:1-77`.
    Position(String),
    /// A line of a file, counted from 1; line 0 means the file as a whole.
    File {
        /// Path as the user gave it.
        path: String,
        /// Line number from 1, or 0.
        line: u64,
    },
}

/// An error with a stable code, a message in lower case, and optionally detail, hint, place and cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    place: Option<Place>,
    row: Option<usize>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error. `code` is stable and dotted (`mysql.binlog_purged`); `message` is lower case without a full stop.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            place: None,
            row: None,
            source: None,
        }))
    }

    /// [`ErrorKind::Usage`] shorthand.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, code, message)
    }

    /// [`ErrorKind::Data`] shorthand.
    pub fn data(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, code, message)
    }

    /// [`ErrorKind::Remote`] shorthand.
    pub fn remote(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Remote, code, message)
    }

    /// [`ErrorKind::Fenced`] shorthand.
    pub fn fenced(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, code, message)
    }

    /// [`ErrorKind::Bug`] shorthand.
    pub fn bug(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, code, message)
    }

    /// Adds what was observed, for the reader who wants to know more.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds where it happened; an earlier, more exact place is kept.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place.get_or_insert(place);
        self
    }

    /// Replaces where it happened: for a caller who knows the same place in terms nearer to the user.
    #[must_use]
    pub fn moved_to(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Says in which row of the batch that is being worked on it happened, where that is known; the source knows where
    /// that row stands.
    #[must_use]
    pub fn in_row(mut self, row: Option<usize>) -> Self {
        self.0.row = row;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the reader should do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The message without detail, hint and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was observed.
    pub fn detail_text(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// What to do about it.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The row of the batch that was being worked on.
    pub fn row(&self) -> Option<usize> {
        self.0.row
    }

    /// Where it happened.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql(span) => write!(f, "statement bytes {}..{}", span.start, span.end),
            Self::Option(name) => write!(f, "option '{name}'"),
            Self::Position(position) => write!(f, "position {position}"),
            Self::File { path, line: 0 } => write!(f, "{path}"),
            Self::File { path, line } => write!(f, "{path}, line {line}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(place) = &self.0.place
            && !matches!(place, Place::Sql(_))
        {
            write!(f, " ({place})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self}", self.0.code)?;
        for (name, text) in [("detail", &self.0.detail), ("hint", &self.0.hint)] {
            if let Some(text) = text {
                write!(f, "; {name}: {text}")?;
            }
        }
        match &self.0.source {
            Some(source) => write!(f, "; cause: {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
