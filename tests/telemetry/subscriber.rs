//! A subscriber of `tracing` that stores every span and event, with all fields as text.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// A span or an event.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) target: String,
    pub(crate) level: String,
    pub(crate) is_span: bool,
    /// The name of a span, or the message of an event.
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    /// The names of the enclosing spans, outermost first.
    pub(crate) parents: Vec<String>,
}

impl Entry {
    fn new(metadata: &Metadata<'_>, parents: Vec<String>) -> Self {
        Self {
            target: metadata.target().to_owned(),
            level: metadata.level().as_str().to_lowercase(),
            is_span: metadata.is_span(),
            message: if metadata.is_span() { metadata.name().to_owned() } else { String::new() },
            fields: Vec::new(),
            parents,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[derive(Clone, Default)]
pub(crate) struct StoringSubscriber(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    spans: Vec<String>,
    entered: Vec<usize>,
}

impl State {
    fn parents(&self) -> Vec<String> {
        self.entered.iter().map(|span| self.spans[*span].clone()).collect()
    }
}

impl StoringSubscriber {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().entries.clone()
    }
}

impl fmt::Debug for StoringSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoringSubscriber")
    }
}

impl Subscriber for StoringSubscriber {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().unwrap();
        let mut entry = Entry::new(span.metadata(), state.parents());
        span.record(&mut entry);
        state.entries.push(entry);
        state.spans.push(span.metadata().name().to_owned());
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("a span gets a field after its creation");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut state = self.0.lock().unwrap();
        let mut entry = Entry::new(event.metadata(), state.parents());
        event.record(&mut entry);
        state.entries.push(entry);
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(usize::try_from(span.into_u64()).unwrap() - 1);
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
}
