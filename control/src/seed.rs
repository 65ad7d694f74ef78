//! What must be there before the first call: each account's default network, and the credentials of the configuration.

use crate::config::{Config, Role, read_toml};
use crate::error::Error;
use crate::store::{SecurityGroupRecord, Stores, SubnetRecord, Tags, Version, VpcRecord, key};
use hive_bus::Bus;
use hive_types::CredentialRecord;
use hive_types::id::{AccountId, SecurityGroupId, SubnetId, VpcId};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;
use tracing::{info, warn};

/// EC2's default VPC, and its subnet in the first zone.
const VPC_NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 31, 0, 0), 16);
const SUBNET_PREFIX_LEN: u8 = 20;
/// Between attempts while the store does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// `credentials.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    credential: Vec<CredentialRecord>,
}

/// Seeds until it has succeeded once.
pub async fn keep_seeding(bus: Bus, stores: Stores, config: Config) {
    loop {
        // The first call waits for this: no pause longer than the connection takes.
        bus.wait_connected(RETRY).await;
        match seed(&stores, &config).await {
            Ok(()) => return info!("accounts and credentials are in place"),
            Err(error) => warn!(error = format!("{:#}", anyhow::Error::new(error)), "cannot seed yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

pub async fn seed(stores: &Stores, config: &Config) -> Result<(), Error> {
    let mut accounts = BTreeSet::from([config.account.clone()]);
    if let Some(path) = &config.credentials_file {
        let file: CredentialsFile =
            read_toml(path).map_err(|e| Error::Fault(format!("{:#}", anyhow::Error::new(e))))?;
        for credential in file.credential {
            accounts.insert(credential.account.clone());
            if config.roles.contains(&Role::Iam) {
                put_credential(stores, &credential).await?;
            }
        }
    }
    if config.roles.contains(&Role::Vpc) {
        for account in &accounts {
            seed_network(stores, account, &config.zone).await?;
        }
    }
    Ok(())
}

async fn put_credential(stores: &Stores, credential: &CredentialRecord) -> Result<(), Error> {
    if !stores.credentials.create(&credential.access_key_id, credential).await? {
        let replace = |record: &mut CredentialRecord| {
            record.clone_from(credential);
            Ok::<_, Error>(())
        };
        stores.credentials.modify(&credential.access_key_id, replace).await?;
    }
    Ok(())
}

/// The same id for the same account on every worker, so that two that seed at once make one network.
fn derived(account: &AccountId, what: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(format!("{what} of {account}")).into();
    digest.iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte))
}

async fn seed_network(stores: &Stores, account: &AccountId, zone: &str) -> Result<(), Error> {
    let (network, prefix_len) = VPC_NETWORK;
    let vpc_id = VpcId::from_random(derived(account, "default VPC"));
    let group_id = SecurityGroupId::from_random(derived(account, "default security group"));
    let subnet_id = SubnetId::from_random(derived(account, "default subnet"));
    let subnet = SubnetRecord {
        version: Version,
        subnet_id,
        vpc_id: vpc_id.clone(),
        account: account.clone(),
        zone: zone.to_owned(),
        network,
        prefix_len: SUBNET_PREFIX_LEN,
        is_default: true,
        addresses: BTreeMap::new(),
        tags: Tags::new(),
    };
    stores.subnets.create(&subnet.key(), &subnet).await?;
    let group = SecurityGroupRecord {
        version: Version,
        group_id,
        vpc_id: vpc_id.clone(),
        account: account.clone(),
        name: "default".into(),
        description: "default VPC security group".into(),
        tags: Tags::new(),
    };
    stores.groups.create(&key(account, &group.group_id), &group).await?;
    let vpc = VpcRecord {
        version: Version,
        vpc_id,
        account: account.clone(),
        network,
        prefix_len,
        is_default: true,
        tags: Tags::new(),
    };
    stores.vpcs.create(&key(account, &vpc.vpc_id), &vpc).await?;
    Ok(())
}
