//! A recorder of `metrics` that stores every value.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// The name of a metric, and its labels in order.
pub(crate) type Id = (String, Vec<(String, String)>);

/// The kind and the unit of a metric.
pub(crate) type Description = (&'static str, Option<Unit>);

#[derive(Clone, Default)]
pub(crate) struct StoringRecorder {
    pub(crate) counters: Arc<Mutex<BTreeMap<Id, u64>>>,
    pub(crate) gauges: Arc<Mutex<BTreeMap<Id, f64>>>,
    pub(crate) histograms: Arc<Mutex<BTreeMap<Id, Vec<f64>>>>,
    pub(crate) described: Arc<Mutex<BTreeMap<String, Description>>>,
}

/// One counter, gauge or histogram.
struct Handle(StoringRecorder, Id);

impl CounterFn for Handle {
    fn increment(&self, value: u64) {
        *self.0.counters.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        self.0.counters.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl GaugeFn for Handle {
    fn increment(&self, _: f64) {
        panic!("{:?} is incremented instead of set", self.1);
    }

    fn decrement(&self, _: f64) {
        panic!("{:?} is decremented instead of set", self.1);
    }

    fn set(&self, value: f64) {
        self.0.gauges.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        self.0.histograms.lock().unwrap().entry(self.1.clone()).or_default().push(value);
    }
}

impl StoringRecorder {
    fn handle(&self, key: &Key) -> Arc<Handle> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        Arc::new(Handle(self.clone(), (key.name().to_owned(), labels.collect())))
    }

    fn describe(&self, key: KeyName, kind: &'static str, unit: Option<Unit>) {
        self.described.lock().unwrap().insert(key.as_str().to_owned(), (kind, unit));
    }

    /// Returns the names and labels of all metrics.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let (counters, gauges) = (self.counters.lock().unwrap(), self.gauges.lock().unwrap());
        let histograms = self.histograms.lock().unwrap();
        counters.keys().chain(gauges.keys()).chain(histograms.keys()).cloned().collect()
    }

    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.counters.lock().unwrap().get(&(name.to_owned(), labels)).copied().unwrap_or_default()
    }
}

impl Recorder for StoringRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, "counter", unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, "gauge", unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(key, "histogram", unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.handle(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.handle(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.handle(key))
    }
}
