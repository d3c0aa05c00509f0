//! A subscriber that keeps every span and event, with all their fields as text.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span or an event.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) target: String,
    pub(crate) level: String,
    pub(crate) is_span: bool,
    /// The name of a span, or the message of an event.
    pub(crate) words: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// The names of the spans that it is in, the outermost first.
    pub(crate) within: Vec<String>,
}

impl Told {
    fn new(metadata: &Metadata<'_>, within: Vec<String>) -> Self {
        Self {
            target: metadata.target().to_owned(),
            level: metadata.level().as_str().to_lowercase(),
            is_span: metadata.is_span(),
            words: if metadata.is_span() { metadata.name().to_owned() } else { String::new() },
            fields: Vec::new(),
            within,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.words = format!("{value:?}"),
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    told: Vec<Told>,
    spans: Vec<String>,
    entered: Vec<usize>,
}

impl State {
    fn within(&self) -> Vec<String> {
        self.entered.iter().map(|span| self.spans[*span].clone()).collect()
    }
}

impl Listener {
    pub(crate) fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().told.clone()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().unwrap();
        let mut told = Told::new(span.metadata(), state.within());
        span.record(&mut told);
        state.told.push(told);
        state.spans.push(span.metadata().name().to_owned());
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("a span gets a field that it did not begin with");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut state = self.0.lock().unwrap();
        let mut told = Told::new(event.metadata(), state.within());
        event.record(&mut told);
        state.told.push(told);
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(usize::try_from(span.into_u64()).unwrap() - 1);
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
}
