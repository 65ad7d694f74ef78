use super::{Store, now_ms};
use crate::{
    error::{Code, S3Error},
    meta::{Bucket, MetaError},
};
use hive_auth::AccountId;

/// S3's naming rules ("General purpose bucket naming rules").
fn is_valid_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let shaped = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| alphanumeric(byte) || byte == b'-' || byte == b'.')
        && bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && !name.contains("..");
    let reserved = name.starts_with("xn--") || name.ends_with("-s3alias");
    shaped && !reserved && name.parse::<std::net::Ipv4Addr>().is_err()
}

impl Store {
    /// CreateBucket; `location` is the LocationConstraint asked for.
    ///
    /// # Errors
    /// [`Code::InvalidBucketName`], [`Code::IllegalLocationConstraintException`], [`Code::BucketAlreadyExists`],
    /// [`Code::BucketAlreadyOwnedByYou`], [`Code::TooManyBuckets`].
    pub async fn create_bucket(&self, caller: &AccountId, name: &str, location: Option<&str>) -> Result<(), S3Error> {
        if !is_valid_name(name) {
            return Err(S3Error::from(Code::InvalidBucketName).with("BucketName", name));
        }
        if let Some(location) = location.filter(|location| **location != *self.region) {
            let message = format!(
                "The {location} location constraint is incompatible for the region specific endpoint this request was \
                 sent to."
            );
            return Err(S3Error::saying(Code::IllegalLocationConstraintException, message));
        }
        let bucket = Bucket { owner: caller.to_string(), created_ms: now_ms() };
        match self.meta.create_bucket(name, bucket).await {
            Err(MetaError::BucketExists { owner, .. }) if owner == caller.as_str() => {
                Err(S3Error::from(Code::BucketAlreadyOwnedByYou).with("BucketName", name))
            }
            outcome => Ok(outcome?),
        }
    }

    /// DeleteBucket. Unfinished uploads go with it.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`], [`Code::BucketNotEmpty`].
    pub async fn delete_bucket(&self, caller: &AccountId, name: &str) -> Result<(), S3Error> {
        self.authorise(caller, name).await?;
        self.blobs.remove(self.meta.delete_bucket(name).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["abc", "my.bucket-1", "0ab"] {
            assert!(is_valid_name(name), "{name}");
        }
        for name in ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "192.168.0.1", "xn--abc", "a-s3alias", &"a".repeat(64)] {
            assert!(!is_valid_name(name), "{name}");
        }
    }
}
