//! What the daemon says of itself over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

/// The status of one instant.
#[derive(Clone, Debug)]
pub struct Books(Value);

impl Books {
    pub(crate) fn read(http: SocketAddr) -> Books {
        let text = get(&format!("http://{http}/api/v1/status"));
        Books(serde_json::from_str(&text).expect("the status is JSON"))
    }

    /// What is, such as `vram_used_bytes`.
    #[must_use]
    #[track_caller]
    pub fn gauge(&self, name: &str) -> u64 {
        number(&self.0["gauges"], name)
    }

    /// What was, such as `evictions`.
    #[must_use]
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        number(&self.0["counters"], name)
    }

    /// What can be, such as `objects`.
    #[must_use]
    #[track_caller]
    pub fn limit(&self, name: &str) -> u64 {
        number(&self.0["limits"], name)
    }

    /// What the host lacks, in words.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let lacks = self.0["lacks"].as_array().expect("a list");
        lacks.iter().map(|each| each.as_str().expect("text").to_owned()).collect()
    }

    /// A number of the object whose label this is, such as `resident_bytes`; `None` if there is no
    /// such object.
    #[must_use]
    pub fn of_object(&self, label: &str, name: &str) -> Option<u64> {
        let objects = self.0["objects"].as_array().expect("a list");
        let found = objects.iter().find(|each| each["label"] == label)?;
        Some(number(found, name))
    }

    /// A whole number of one direction of the simulated link, such as `in_flight` of `in`.
    #[must_use]
    #[track_caller]
    pub fn link(&self, direction: &str, name: &str) -> u64 {
        number(&self.0["link"][direction], name)
    }

    /// How many bytes are in use in the VRAM pool and in the store.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        (self.gauge("vram_used_bytes"), self.gauge("store_present_bytes"))
    }

    /// Clients, objects, mappings.
    #[must_use]
    pub fn population(&self) -> [u64; 3] {
        ["clients", "objects", "mappings"].map(|name| self.gauge(name))
    }
}

#[track_caller]
fn number(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {of}"))
}

/// Every metric without histograms, by name and labels as they are written.
pub(crate) fn metrics(http: SocketAddr) -> BTreeMap<String, u64> {
    let text = get(&format!("http://{http}/metrics"));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            // Integers below 2^53 are written without a fraction.
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[track_caller]
fn get(address: &str) -> String {
    let mut response = ureq::get(address).call().expect("the daemon serves HTTP");
    response.body_mut().read_to_string().expect("text")
}
