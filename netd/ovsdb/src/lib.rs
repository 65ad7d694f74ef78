//! netd's side of its database: a client of the stock `ovsdb-server`, in the place of ovs-vswitchd.
//!
//! A [`Client`] connects on a thread of its own, takes the lock that ovs-vswitchd takes, keeps a replica of the tables of
//! `Open_vSwitch`, and hands out a [`Snapshot`] of the configuration whenever it changed. The switch applies it and reports
//! its whole [`Status`]; of that only differences are written. A configuration counts as applied, and the ovs-vsctl that made it
//! returns, when a report names it. Without the database the switch goes on with what it has; when the database is back, what
//! changed is handed out and what it lost is written again.
//!
//! `remote`, `talk` and `client` do input and output; `session` is the protocol (RFC 7047 and ovsdb-server(7)) without it; `replica`,
//! `schema` and `datum` hold what the server sent; `snapshot` reads it as configuration; `status` and `writer` go the other way.
#![forbid(unsafe_code)]

mod client;
mod datum;
mod remote;
mod replica;
mod schema;
mod session;
pub mod snapshot;
pub mod status;
mod table;
mod talk;
mod transaction;
mod writer;

pub use client::{Client, ClientError, Connection, Options};
pub use remote::{Remote, RemoteError};
pub use session::LOCK;
pub use snapshot::{Configuration, Snapshot, Version};
pub use status::Status;
pub use table::Table;

/// The inside, for fuzzing: it must survive whatever a server sends.
#[doc(hidden)]
pub mod hostile {
    pub use crate::session::{Known, Session};

    /// Feeds a session with what a server sent, until it gives the connection up.
    pub fn converse(bytes: &[u8]) {
        use hive_jsonrpc::{Message, Splitter};
        let mut session = Session::new(Known::default());
        let mut splitter = Splitter::new(crate::talk::LIMITS);
        splitter.push(bytes);
        while let Ok(Some(text)) = splitter.next_text() {
            let Ok(message) = Message::parse(text) else { return };
            let followed = session.handle(message);
            session.take_outgoing();
            let _ = crate::Configuration::read(session.replica());
            if followed.is_err() {
                return;
            }
        }
    }
}
