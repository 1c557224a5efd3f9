//! W3C trace context: a job goes on with the trace of who enqueued it, or begins one.

/// Identity of one run.
pub(crate) struct Trace {
    trace_id: String,
    span_id: String,
    flags: String,
}

impl Trace {
    /// The run of a job under a token: the same trace, a span of its own.
    pub(crate) fn of(parent: Option<&str>, job: u64, token: u64) -> Self {
        let span = mix(mix(job) ^ token);
        let span_id = format!("{:016x}", span.max(1));
        match parent.and_then(parse) {
            Some((trace_id, flags)) => Self { trace_id, span_id, flags },
            None => Self { trace_id: format!("{:016x}{span_id}", mix(span ^ job)), span_id, flags: "01".to_owned() },
        }
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    pub(crate) fn span_id(&self) -> &str {
        &self.span_id
    }

    /// For calls to others.
    pub(crate) fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

/// Trace id and flags of a `traceparent` of version 00 (<https://www.w3.org/TR/trace-context/>).
fn parse(text: &str) -> Option<(String, String)> {
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let good = version == "00" && hex(trace, 32) && hex(span, 16) && hex(flags, 2) && parts.next().is_none();
    (good && trace.bytes().any(|b| b != b'0')).then(|| (trace.to_owned(), flags.to_owned()))
}

/// Spreads a number over 64 bits (the finalizer of `SplitMix64`).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_with_the_trace_and_has_a_span_of_its_own() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (first, second) = (Trace::of(Some(parent), 7, 1), Trace::of(Some(parent), 7, 2));
        assert!(first.traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        assert_ne!(first.span_id(), second.span_id());
        assert_ne!(first.span_id(), "00f067aa0ba902b7");
    }

    #[test]
    fn what_is_no_trace_context_begins_a_trace() {
        for text in [None, Some(""), Some("00-0-0-0"), Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
        {
            let trace = Trace::of(text, 7, 1);
            assert_eq!((trace.trace_id().len(), trace.traceparent().len()), (32, 55), "{text:?}");
        }
    }
}
