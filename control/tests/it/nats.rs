//! The handlers over a real nats-server: the same records, and calls over the bus.

use crate::cloud::{ACCOUNT, Cloud, request};
use hive_bus::testing::NatsServer;
use hive_bus::{Bus, BusConfig};
use hive_types::envelope::{ApiReply, subject};
use hived::Role;
use hived::api::serve;
use hived::store::Stores;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

#[tokio::test]
async fn calls_over_the_bus() {
    let server = NatsServer::start();
    let config = BusConfig { url: server.url(), name: "test".into(), request_timeout: Duration::from_secs(10) };
    let bus = Bus::connect(&config).await.expect("connect");
    assert!(bus.wait_connected(Duration::from_secs(10)).await);
    let cloud = Cloud::new(Stores::nats(&bus, 1)).await;
    let permits = Arc::new(Semaphore::new(8));
    let _one = serve(&bus, cloud.api.clone(), &Role::ALL.into(), permits.clone()).await.expect("serve");
    let _two = serve(&bus, cloud.api.clone(), &Role::ALL.into(), permits).await.expect("serve");

    let call = |action: &'static str, params: Value| {
        let bus = bus.clone();
        async move {
            let request = request(ACCOUNT, action, params);
            bus.request::<_, ApiReply>(&subject("ec2", action), &request).await.expect("an answer")
        }
    };
    let run = json!({"ImageId": cloud.image_id, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1});
    let launches = (0..10).map(|_| call("RunInstances", run.clone()));
    let replies = futures::future::join_all(launches).await;
    let made = replies.iter().filter(|reply| matches!(reply, ApiReply::Ok(_))).count();
    assert_eq!(made, 8, "the node has room for eight");
    let ApiReply::Ok(described) = call("DescribeInstances", json!({})).await else { panic!("refused") };
    assert_eq!(described["Reservations"].as_array().map(Vec::len), Some(8));
}
