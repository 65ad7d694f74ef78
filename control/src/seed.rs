//! What must be there before the first call: each account's default network, and the credentials of the configuration.

use crate::api::{dns_domain, make_default_options, make_default_vpc};
use crate::config::{Config, Role, read_toml};
use crate::error::Error;
use crate::store::{
    InstanceRecord, InstanceState, InterfaceAttachment, InterfaceOwner, InterfaceRecord, Network, Stores, Tags,
    Version, account_prefix,
};
use hive_bus::Bus;
use hive_types::CredentialRecord;
use hive_types::id::AccountId;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::{info, warn};

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
            seed_network(stores, account, config).await?;
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

/// The default VPC of an account that has no network yet; what the account deletes later stays deleted.
async fn seed_network(stores: &Stores, account: &AccountId, config: &Config) -> Result<(), Error> {
    if stores.networks.exists(account).await? {
        return Ok(());
    }
    let with_public = !config.public_address_pools.is_empty();
    let domain = dns_domain(&config.region);
    let draw = |what: &str| Ok(derived(account, what));
    let live: Vec<InstanceRecord> =
        stores.instances.range(&account_prefix(account)).await?.into_iter().map(|record| record.value).collect();
    let seeded = stores.networks.change(account, |network| {
        // Another worker's seed has come first.
        if *network != Network::default() {
            return Ok(());
        }
        make_default_options(network, account, &domain, &draw)?;
        make_default_vpc(network, account, &config.zone, with_public, &draw)?;
        live.iter().for_each(|instance| adopt(network, instance));
        Ok(())
    });
    seeded.await.map(drop)
}

/// Instances of before there were records of interfaces have theirs in their own records.
fn adopt(network: &mut Network, instance: &InstanceRecord) {
    let own = &instance.network;
    let Some(subnet) = network.subnets.get_mut(&own.subnet_id).filter(|_| instance.state != InstanceState::Terminated)
    else {
        return;
    };
    subnet.addresses.insert(own.private_ip, own.interface_id.clone());
    let group = network.groups.values().find(|group| group.vpc_id == own.vpc_id);
    let groups = group.map(|group| group.group_id.clone()).into_iter().collect();
    network.insert(InterfaceRecord {
        version: Version,
        interface_id: own.interface_id.clone(),
        account: instance.account.clone(),
        vpc_id: own.vpc_id.clone(),
        subnet_id: own.subnet_id.clone(),
        zone: instance.zone.clone(),
        mac: own.mac.clone(),
        private_ip: own.private_ip,
        secondary_ips: Vec::new(),
        ipv6: Vec::new(),
        primary_ipv6: false,
        public_ip: None,
        groups,
        description: String::new(),
        source_dest_check: true,
        owner: InterfaceOwner::Account,
        attachment: Some(InterfaceAttachment {
            attachment_id: own.attachment_id.clone(),
            instance_id: instance.instance_id.clone(),
            device_index: 0,
            delete_on_termination: true,
            attached_at: instance.launch_time,
        }),
        created_at: instance.launch_time,
        tags: Tags::new(),
    });
}
