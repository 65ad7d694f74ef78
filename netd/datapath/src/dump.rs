//! Flows as `ovs-appctl dpctl/dump-flows` prints them.
