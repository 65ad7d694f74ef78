//! Errors as S3 answers them.

use crate::{blob::BlobError, meta::MetaError};
use hive_auth::{AuthError, ChunkError, Place};

macro_rules! codes {
    ($($name:ident $status:literal $message:literal)*) => {
        /// An error code of S3 ("List of error codes"), with its status and usual message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($name),*
        }

        impl Code {
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),*
                }
            }

            pub fn status(self) -> http::StatusCode {
                let status = match self {
                    $(Self::$name => $status),*
                };
                http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR)
            }

            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message),*
                }
            }
        }
    };
}

codes! {
    AccessControlListNotSupported 400 "The bucket does not allow ACLs"
    AccessDenied 403 "Access Denied"
    AuthorizationHeaderMalformed 400 "The authorization header that you provided is not valid."
    AuthorizationQueryParametersError 400 "Error parsing the X-Amz query parameters."
    BadDigest 400 "The Content-MD5 or checksum value that you specified did not match what the server received."
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."
    BucketAlreadyOwnedByYou 409 "Your previous request to create the named bucket succeeded and you already own it."
    BucketNotEmpty 409 "The bucket you tried to delete is not empty"
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed size"
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed size"
    ExpiredToken 400 "The provided token has expired."
    IllegalLocationConstraintException 400 "The specified location-constraint is not valid"
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header"
    InsufficientStorage 507 "There is not enough storage to complete the request."
    InternalError 500 "We encountered an internal error. Please try again."
    InvalidAccessKeyId 403 "The AWS Access Key Id you provided does not exist in our records."
    InvalidArgument 400 "Invalid Argument"
    InvalidBucketName 400 "The specified bucket is not valid."
    InvalidDigest 400 "The Content-MD5 or checksum value that you specified is not valid."
    InvalidPart 400 "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    InvalidPartNumber 416 "The requested partnumber is not satisfiable"
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts must be ordered by part number."
    InvalidRange 416 "The requested range is not satisfiable"
    InvalidRequest 400 "Invalid Request"
    InvalidStorageClass 400 "The storage class you specified is not valid"
    InvalidToken 400 "The provided token is malformed or otherwise invalid."
    KeyTooLongError 400 "Your key is too long"
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema"
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size"
    MethodNotAllowed 405 "The specified method is not allowed against this resource."
    MissingContentLength 411 "You must provide the Content-Length HTTP header."
    NoSuchBucket 404 "The specified bucket does not exist"
    NoSuchKey 404 "The specified key does not exist."
    NoSuchUpload 404 "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    NotImplemented 501 "A header or query you provided implies functionality that is not implemented"
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold"
    RequestTimeTooSkewed 403 "The difference between the request time and the current time is too large."
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period."
    SignatureDoesNotMatch 403 "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    SlowDown 503 "Please reduce your request rate."
    TooManyBuckets 400 "You have attempted to create more buckets than allowed"
    XAmzContentSHA256Mismatch 400 "The provided 'x-amz-content-sha256' header does not match what was computed."
}

/// An error on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", .code.name())]
pub struct S3Error {
    pub code: Code,
    pub message: String,
    /// Further elements of the error body, by name.
    pub details: Vec<(&'static str, String)>,
    /// The fault behind an internal error: logged, never told.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl From<Code> for S3Error {
    fn from(code: Code) -> Self {
        Self { code, message: code.message().to_owned(), details: Vec::new(), cause: None }
    }
}

impl S3Error {
    /// With a message of its own.
    pub fn saying(code: Code, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..code.into() }
    }

    pub fn with(mut self, element: &'static str, text: impl Into<String>) -> Self {
        self.details.push((element, text.into()));
        self
    }

    /// A request argument that is wrong.
    pub fn argument(name: &str, value: impl Into<String>, message: impl Into<String>) -> Self {
        Self::saying(Code::InvalidArgument, message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    fn internal(code: Code, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Box::new(cause)), ..code.into() }
    }
}

impl From<BlobError> for S3Error {
    fn from(error: BlobError) -> Self {
        Self::internal(if error.is_full() { Code::InsufficientStorage } else { Code::InternalError }, error)
    }
}

impl From<MetaError> for S3Error {
    fn from(error: MetaError) -> Self {
        let said = |code: Code| Self::from(code);
        match error {
            MetaError::NoSuchBucket(name) => said(Code::NoSuchBucket).with("BucketName", name),
            MetaError::BucketExists { name, .. } => said(Code::BucketAlreadyExists).with("BucketName", name),
            MetaError::BucketNotEmpty(name) => said(Code::BucketNotEmpty).with("BucketName", name),
            MetaError::TooManyBuckets(_) => said(Code::TooManyBuckets),
            MetaError::NoSuchKey(key) => said(Code::NoSuchKey).with("Key", key),
            MetaError::NoSuchUpload(id) => said(Code::NoSuchUpload).with("UploadId", id),
            MetaError::InvalidPart(number) => said(Code::InvalidPart).with("PartNumber", number.to_string()),
            MetaError::EntityTooSmall(number) => said(Code::EntityTooSmall).with("PartNumber", number.to_string()),
            MetaError::ChecksumMismatch(algorithm) => Self::saying(
                Code::BadDigest,
                format!("The {} you specified did not match the calculated checksum.", algorithm.name()),
            ),
            MetaError::PreconditionFailed => said(Code::PreconditionFailed),
            error @ MetaError::Engine(_) => Self::internal(Code::InternalError, error),
        }
    }
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        let text = error.to_string();
        match error {
            AuthError::Missing => Code::AccessDenied.into(),
            AuthError::Ambiguous => Self::saying(
                Code::InvalidArgument,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                 parameter or the Authorization header should be specified",
            ),
            AuthError::UnsupportedScheme(_) => Self::saying(
                Code::InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ),
            AuthError::Malformed { place: Place::Header, .. } => Self::saying(Code::AuthorizationHeaderMalformed, text),
            AuthError::Malformed { place: Place::Query, .. } | AuthError::ExpiresOutOfRange { .. } => {
                Self::saying(Code::AuthorizationQueryParametersError, text)
            }
            AuthError::ScopeRegion { found, expected } => Self::saying(
                Code::AuthorizationHeaderMalformed,
                format!("The authorization header is malformed; the region '{found}' is wrong; expecting '{expected}'"),
            )
            .with("Region", expected),
            AuthError::ScopeDate { .. } | AuthError::ScopeService { .. } => {
                Self::saying(Code::AuthorizationHeaderMalformed, text)
            }
            AuthError::NotSigned(header) => {
                Self::saying(Code::AccessDenied, "There were headers present in the request which were not signed")
                    .with("HeadersNotSigned", header)
            }
            AuthError::SignedHeaderAbsent(_) | AuthError::SignatureMismatch { .. } => {
                Code::SignatureDoesNotMatch.into()
            }
            AuthError::Expired { signed_at, now, .. } | AuthError::NotYetCurrent { signed_at, now, .. } => {
                Self::from(Code::RequestTimeTooSkewed)
                    .with("RequestTime", hive_auth::stamp::format(signed_at))
                    .with("ServerTime", now.to_string())
                    .with("MaxAllowedSkewMilliseconds", "900000")
            }
            AuthError::PresignExpired { expired_at } => {
                Self::saying(Code::AccessDenied, "Request has expired").with("Expires", expired_at.to_string())
            }
            AuthError::ContentSha256Missing => {
                Self::saying(Code::InvalidRequest, "Missing required header for this request: x-amz-content-sha256")
            }
            AuthError::ContentSha256Invalid => Self::saying(
                Code::InvalidArgument,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            ),
            AuthError::ContentSha256Mismatch => Code::XAmzContentSHA256Mismatch.into(),
            AuthError::UnknownAccessKey(id) => Self::from(Code::InvalidAccessKeyId).with("AWSAccessKeyId", id),
            AuthError::InvalidToken => Code::InvalidToken.into(),
            AuthError::TokenExpired => Code::ExpiredToken.into(),
            AuthError::Lookup(error) => Self::internal(Code::InternalError, error),
        }
    }
}

impl From<ChunkError> for S3Error {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::SignatureMismatch => Code::SignatureDoesNotMatch.into(),
            ChunkError::Incomplete { .. } | ChunkError::TooLong(_) => Code::IncompleteBody.into(),
            ChunkError::Malformed(_) | ChunkError::TrailerMissing(_) | ChunkError::TrailerUnannounced(_) => {
                Self::saying(Code::InvalidRequest, error.to_string())
            }
        }
    }
}
