//! awsd from outside: forms by every schema, and a whole gateway over TLS with NATS behind it, called by botocore and by hand.

mod calls;
mod cloud;
mod forms;
mod populate;
mod proxy;
mod rest;
mod round_trip;
