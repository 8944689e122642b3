//! Orders to a daemon: HTTP over its control socket, and over TCP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bo_manager::default_control_path;
use serde_json::Value;

use crate::actor::{Actor, User};
use crate::station::Station;
use crate::wait::until;

/// The control socket of a daemon.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
}

impl Control {
    /// That of this station.
    #[must_use]
    pub fn of(station: &Station) -> Control {
        Control { path: default_control_path(station.socket()) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// A new client, connected, and its id.
    #[must_use]
    #[track_caller]
    pub fn client(&self, station: &Station, user: User) -> (Actor, String) {
        let before = self.clients();
        let actor = station.client(user);
        let new = self.clients().into_iter().find(|id| !before.contains(id));
        (actor, new.expect("it has connected"))
    }

    fn clients(&self) -> Vec<String> {
        let status = self.get("/api/v1/status");
        let clients = status["clients"].as_array().expect("a list");
        clients.iter().map(|each| each["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// What the daemon shows there.
    #[must_use]
    #[track_caller]
    pub fn get(&self, call: &str) -> Value {
        let (status, body) = self.call("GET", call, "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// A call of any kind: the status, and the body if it is JSON.
    #[track_caller]
    pub fn call(&self, method: &str, call: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.path).expect("the daemon takes orders");
        talk(stream, &request(method, call, "", body))
    }

    /// An order that is carried out.
    #[track_caller]
    pub fn order(&self, call: &str, body: &str) -> Value {
        let (status, answer) = self.call("POST", call, body);
        assert_eq!(status, 200, "{call}: {answer}");
        answer
    }

    /// An order that is refused, and for which cause.
    #[track_caller]
    pub fn refused(&self, call: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.call("POST", call, body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty(), "{call}: {status} without a reason: {answer}");
        (status, answer["cause"].as_str().expect("a cause").to_owned())
    }

    /// Suspends a client, and waits until its last page is out.
    #[track_caller]
    pub fn suspend(&self, client: &str) {
        self.order(&format!("/api/v1/clients/{client}/suspend"), "");
        until("the client is suspended", || (self.state(client) == "suspended").then_some(()));
    }

    /// Lets a client go on.
    #[track_caller]
    pub fn resume(&self, client: &str, prefetch: bool) -> Value {
        let body = format!("{{\"prefetch\":{prefetch}}}");
        self.order(&format!("/api/v1/clients/{client}/resume"), &body)
    }

    /// The state of a client.
    #[must_use]
    #[track_caller]
    pub fn state(&self, client: &str) -> String {
        let shown = self.get(&format!("/api/v1/clients/{client}"));
        shown["state"].as_str().expect("a state").to_owned()
    }

    /// The capacity of the pool and its target, in bytes.
    #[must_use]
    #[track_caller]
    pub fn pool(&self) -> (u64, u64) {
        let pool = self.get("/api/v1/pool");
        let number = |name: &str| pool[name].as_u64().expect("a number");
        (number("capacity_bytes"), number("target_bytes"))
    }
}

/// A POST over TCP, with a header more: the status, and the body if it is JSON.
#[must_use]
#[track_caller]
pub fn post_over_tcp(station: &Station, call: &str, header: &str) -> (u16, Value) {
    let stream = TcpStream::connect(station.http).expect("the daemon serves HTTP");
    talk(stream, &request("POST", call, header, "{}"))
}

fn request(method: &str, call: &str, header: &str, body: &str) -> String {
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    let length = body.len();
    format!(
        "{method} {call} HTTP/1.1\r\nHost: bo\r\nConnection: close\r\n{header}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[track_caller]
fn talk(mut stream: impl Read + Write, request: &str) -> (u16, Value) {
    // A daemon that refuses a long body may hang up before the end of it.
    let _sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _hung_up = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), serde_json::from_str(body).unwrap_or(Value::Null))
}
