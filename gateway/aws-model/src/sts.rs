// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Schema of sts, API version 2011-06-15.

use crate::table::{ErrorRow, Member, Operation, Protocol, Schema, Shape::*, TimestampFormat};

pub static SCHEMA: Schema = Schema {
    service: "sts",
    protocol: Protocol::Query,
    api_version: "2011-06-15",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    names: NAMES,
    shapes: SHAPES,
    operations: OPERATIONS,
    errors: ERRORS,
};

#[rustfmt::skip]
static OPERATIONS: &[Operation] = &[
Operation { name: "AssumeRole", method: "POST", uri: "/", status: 200, input: Some(0), output: Some(1), result_wrapper: Some("AssumeRoleResult"), unsigned_payload: false, errors: &[7, 9, 10, 0] },
Operation { name: "AssumeRoleWithSAML", method: "POST", uri: "/", status: 200, input: Some(2), output: Some(3), result_wrapper: Some("AssumeRoleWithSAMLResult"), unsigned_payload: false, errors: &[7, 9, 3, 5, 0, 10] },
Operation { name: "AssumeRoleWithWebIdentity", method: "POST", uri: "/", status: 200, input: Some(4), output: Some(5), result_wrapper: Some("AssumeRoleWithWebIdentityResult"), unsigned_payload: false, errors: &[7, 9, 3, 2, 5, 0, 10] },
Operation { name: "AssumeRoot", method: "POST", uri: "/", status: 200, input: Some(6), output: Some(7), result_wrapper: Some("AssumeRootResult"), unsigned_payload: false, errors: &[10, 0] },
Operation { name: "DecodeAuthorizationMessage", method: "POST", uri: "/", status: 200, input: Some(11), output: Some(12), result_wrapper: Some("DecodeAuthorizationMessageResult"), unsigned_payload: false, errors: &[4] },
Operation { name: "GetAccessKeyInfo", method: "POST", uri: "/", status: 200, input: Some(14), output: Some(15), result_wrapper: Some("GetAccessKeyInfoResult"), unsigned_payload: false, errors: &[] },
Operation { name: "GetCallerIdentity", method: "POST", uri: "/", status: 200, input: Some(16), output: Some(17), result_wrapper: Some("GetCallerIdentityResult"), unsigned_payload: false, errors: &[] },
Operation { name: "GetDelegatedAccessToken", method: "POST", uri: "/", status: 200, input: Some(18), output: Some(19), result_wrapper: Some("GetDelegatedAccessTokenResult"), unsigned_payload: false, errors: &[1, 10, 9] },
Operation { name: "GetFederationToken", method: "POST", uri: "/", status: 200, input: Some(20), output: Some(21), result_wrapper: Some("GetFederationTokenResult"), unsigned_payload: false, errors: &[7, 9, 10] },
Operation { name: "GetSessionToken", method: "POST", uri: "/", status: 200, input: Some(22), output: Some(23), result_wrapper: Some("GetSessionTokenResult"), unsigned_payload: false, errors: &[10] },
Operation { name: "GetWebIdentityToken", method: "POST", uri: "/", status: 200, input: Some(24), output: Some(25), result_wrapper: Some("GetWebIdentityTokenResult"), unsigned_payload: false, errors: &[11, 8, 6] },
];

#[rustfmt::skip]
static ERRORS: &[ErrorRow] = &[
ErrorRow { code: "ExpiredTokenException", status: 400 },
ErrorRow { code: "ExpiredTradeInTokenException", status: 400 },
ErrorRow { code: "IDPCommunicationError", status: 400 },
ErrorRow { code: "IDPRejectedClaim", status: 403 },
ErrorRow { code: "InvalidAuthorizationMessageException", status: 400 },
ErrorRow { code: "InvalidIdentityToken", status: 400 },
ErrorRow { code: "JWTPayloadSizeExceededException", status: 400 },
ErrorRow { code: "MalformedPolicyDocument", status: 400 },
ErrorRow { code: "OutboundWebIdentityFederationDisabledException", status: 403 },
ErrorRow { code: "PackedPolicyTooLarge", status: 400 },
ErrorRow { code: "RegionDisabledException", status: 403 },
ErrorRow { code: "SessionDurationEscalationException", status: 403 },
];

#[rustfmt::skip]
static SHAPES: &[crate::table::Shape] = &[
/* 0 AssumeRoleRequest */ Structure(&[Member::new(10, 10, 10, 54), Member::new(13, 13, 13, 48), Member::new(18, 18,
18, 51), Member::new(22, 22, 22, 68), Member::new(23, 23, 23, 53), Member::new(25, 25, 25, 30), Member::new(29, 29,
29, 40).required(), Member::new(30, 30, 30, 55).required(), Member::new(33, 33, 33, 56), Member::new(38, 38, 38, 60),
Member::new(42, 42, 42, 63), Member::new(45, 45, 45, 65), Member::new(47, 47, 47, 61), ]),
/* 1 AssumeRoleResponse */ Structure(&[Member::new(5, 5, 5, 8), Member::new(8, 8, 8, 10), Member::new(21, 21, 21, 52),
Member::new(35, 35, 35, 58), Member::new(36, 36, 36, 59), Member::new(38, 38, 38, 60), ]),
/* 2 AssumeRoleWithSAMLRequest */ Structure(&[Member::new(10, 10, 10, 54), Member::new(18, 18, 18, 51),
Member::new(22, 22, 22, 57), Member::new(23, 23, 23, 53), Member::new(24, 24, 24, 40).required(), Member::new(29, 29,
29, 40).required(), Member::new(31, 31, 31, 32).required(), ]),
/* 3 AssumeRoleWithSAMLResponse */ Structure(&[Member::new(5, 5, 5, 8), Member::new(6, 6, 6, 9), Member::new(8, 8, 8,
10), Member::new(16, 16, 16, 26), Member::new(20, 20, 20, 27), Member::new(21, 21, 21, 52), Member::new(35, 35, 35,
58), Member::new(36, 36, 36, 59), Member::new(38, 38, 38, 60), Member::new(39, 39, 39, 33), Member::new(41, 41, 41,
34), ]),
/* 4 AssumeRoleWithWebIdentityRequest */ Structure(&[Member::new(10, 10, 10, 54), Member::new(18, 18, 18, 51),
Member::new(22, 22, 22, 57), Member::new(23, 23, 23, 53), Member::new(28, 28, 28, 69), Member::new(29, 29, 29,
40).required(), Member::new(30, 30, 30, 55).required(), Member::new(50, 50, 50, 42).required(), ]),
/* 5 AssumeRoleWithWebIdentityResponse */ Structure(&[Member::new(5, 5, 5, 8), Member::new(6, 6, 6, 9), Member::new(8,
8, 8, 10), Member::new(21, 21, 21, 52), Member::new(26, 26, 26, 26), Member::new(35, 35, 35, 58), Member::new(36, 36,
36, 59), Member::new(38, 38, 38, 60), Member::new(40, 40, 40, 72), ]),
/* 6 AssumeRootRequest */ Structure(&[Member::new(10, 10, 10, 31), Member::new(18, 18, 18, 51), Member::new(43, 43,
43, 36).required(), Member::new(44, 44, 44, 28).required(), ]),
/* 7 AssumeRootResponse */ Structure(&[Member::new(8, 8, 8, 10), Member::new(35, 35, 35, 58), Member::new(36, 36, 36,
59), Member::new(38, 38, 38, 60), ]),
/* 8 AssumedRoleUser */ Structure(&[Member::new(2, 2, 2, 40).required(), Member::new(4, 4, 4, 41).required(), ]),
/* 9 Audience */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 10 Credentials */ Structure(&[Member::new(0, 0, 0, 37).required(), Member::new(12, 12, 12, 44).required(),
Member::new(32, 32, 32, 38).required(), Member::new(34, 34, 34, 66).required(), ]),
/* 11 DecodeAuthorizationMessageRequest */ Structure(&[Member::new(11, 11, 11, 47).required(), ]),
/* 12 DecodeAuthorizationMessageResponse */ Structure(&[Member::new(9, 9, 9, 45), ]),
/* 13 FederatedUser */ Structure(&[Member::new(2, 2, 2, 40).required(), Member::new(15, 15, 15, 49).required(), ]),
/* 14 GetAccessKeyInfoRequest */ Structure(&[Member::new(0, 0, 0, 37).required(), ]),
/* 15 GetAccessKeyInfoResponse */ Structure(&[Member::new(1, 1, 1, 39), ]),
/* 16 GetCallerIdentityRequest */ Structure(&[]),
/* 17 GetCallerIdentityResponse */ Structure(&[Member::new(1, 1, 1, 39), Member::new(2, 2, 2, 40), Member::new(48, 48,
48, 70), ]),
/* 18 GetDelegatedAccessTokenRequest */ Structure(&[Member::new(46, 46, 46, 67).required(), ]),
/* 19 GetDelegatedAccessTokenResponse */ Structure(&[Member::new(3, 3, 3, 40), Member::new(8, 8, 8, 10),
Member::new(21, 21, 21, 52), ]),
/* 20 GetFederationTokenRequest */ Structure(&[Member::new(10, 10, 10, 46), Member::new(18, 18, 18, 51),
Member::new(19, 19, 19, 71).required(), Member::new(22, 22, 22, 57), Member::new(23, 23, 23, 53), Member::new(42, 42,
42, 63), ]),
/* 21 GetFederationTokenResponse */ Structure(&[Member::new(8, 8, 8, 10), Member::new(14, 14, 14, 13), Member::new(21,
21, 21, 52), Member::new(35, 35, 35, 58), Member::new(36, 36, 36, 59), ]),
/* 22 GetSessionTokenRequest */ Structure(&[Member::new(10, 10, 10, 46), Member::new(18, 18, 18, 51), Member::new(33,
33, 33, 56), Member::new(45, 45, 45, 65), ]),
/* 23 GetSessionTokenResponse */ Structure(&[Member::new(8, 8, 8, 10), Member::new(35, 35, 35, 58), Member::new(36,
36, 36, 59), ]),
/* 24 GetWebIdentityTokenRequest */ Structure(&[Member::new(6, 6, 6, 73).required(), Member::new(10, 10, 10, 75),
Member::new(37, 37, 37, 50).required(), Member::new(42, 42, 42, 63), ]),
/* 25 GetWebIdentityTokenResponse */ Structure(&[Member::new(12, 12, 12, 44), Member::new(50, 50, 50, 76), ]),
/* 26 Issuer */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 27 NameQualifier */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 28 PolicyDescriptorType */ Structure(&[Member::new(51, 51, 51, 40), ]),
/* 29 ProvidedContext */ Structure(&[Member::new(7, 7, 7, 43), Member::new(27, 27, 27, 40), ]),
/* 30 ProvidedContextsListType */ List { of: 29, item: 52, flattened: false, len: (Some(1), Some(5)) },
/* 31 RootDurationSecondsType */ Integer(Some(0), Some(900)),
/* 32 SAMLAssertionType */ Text { values: &[], len: (Some(4), Some(100000)), pattern: None, sensitive: true },
/* 33 Subject */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 34 SubjectType */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 35 Tag */ Structure(&[Member::new(17, 17, 17, 62).required(), Member::new(49, 49, 49, 64).required(), ]),
/* 36 TargetPrincipalType */ Text { values: &[], len: (Some(12), Some(2048)), pattern: None, sensitive: false },
/* 37 accessKeyIdType */ Text { values: &[], len: (Some(16), Some(128)), pattern: Some("[\\w]*"), sensitive: false },
/* 38 accessKeySecretType */ Text { values: &[], len: (None, None), pattern: None, sensitive: true },
/* 39 accountType */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 40 arnType */ Text { values: &[], len: (Some(20), Some(2048)), pattern:
Some("[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u0085\\u00A0-\\uD7FF\\uE000-\\uFFFD\\u10000-\\u10FFFF]+"), sensitive:
false },
/* 41 assumedRoleIdType */ Text { values: &[], len: (Some(2), Some(193)), pattern: Some("[\\w+=,.@:-]*"), sensitive:
false },
/* 42 clientTokenType */ Text { values: &[], len: (Some(4), Some(20000)), pattern: None, sensitive: true },
/* 43 contextAssertionType */ Text { values: &[], len: (Some(4), Some(2048)), pattern: None, sensitive: false },
/* 44 dateType */ Timestamp(TimestampFormat::Iso8601),
/* 45 decodedMessageType */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 46 durationSecondsType */ Integer(Some(900), Some(129600)),
/* 47 encodedMessageType */ Text { values: &[], len: (Some(1), Some(10240)), pattern: None, sensitive: false },
/* 48 externalIdType */ Text { values: &[], len: (Some(2), Some(1224)), pattern: Some("[\\w+=,.@:\\/-]*"), sensitive:
false },
/* 49 federatedIdType */ Text { values: &[], len: (Some(2), Some(193)), pattern: Some("[\\w+=,.@\\:-]*"), sensitive:
false },
/* 50 jwtAlgorithmType */ Text { values: &[], len: (Some(5), Some(5)), pattern: None, sensitive: false },
/* 51 minimumSessionTokenSizeType */ Integer(Some(0), Some(4096)),
/* 52 nonNegativeIntegerType */ Integer(Some(0), None),
/* 53 policyDescriptorListType */ List { of: 28, item: 52, flattened: false, len: (None, None) },
/* 54 roleDurationSecondsType */ Integer(Some(900), Some(43200)),
/* 55 roleSessionNameType */ Text { values: &[], len: (Some(2), Some(64)), pattern: Some("[\\w+=,.@-]*"), sensitive:
false },
/* 56 serialNumberType */ Text { values: &[], len: (Some(9), Some(256)), pattern: Some("[\\w+=/:,.@-]*"), sensitive:
false },
/* 57 sessionPolicyDocumentType */ Text { values: &[], len: (Some(1), Some(2048)), pattern:
Some("[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+"), sensitive: false },
/* 58 sessionTokenSizeType */ Integer(Some(0), None),
/* 59 sessionTokenUtilizationType */ Integer(Some(0), None),
/* 60 sourceIdentityType */ Text { values: &[], len: (Some(2), Some(64)), pattern: Some("[\\w+=,.@-]*"), sensitive:
false },
/* 61 tagKeyListType */ List { of: 62, item: 52, flattened: false, len: (None, Some(50)) },
/* 62 tagKeyType */ Text { values: &[], len: (Some(1), Some(128)), pattern: Some("[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+"),
sensitive: false },
/* 63 tagListType */ List { of: 35, item: 52, flattened: false, len: (None, Some(50)) },
/* 64 tagValueType */ Text { values: &[], len: (Some(0), Some(256)), pattern: Some("[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*"),
sensitive: false },
/* 65 tokenCodeType */ Text { values: &[], len: (Some(6), Some(6)), pattern: Some("[\\d]*"), sensitive: false },
/* 66 tokenType */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 67 tradeInTokenType */ Text { values: &[], len: (None, None), pattern: None, sensitive: true },
/* 68 unrestrictedSessionPolicyDocumentType */ Text { values: &[], len: (Some(1), None), pattern:
Some("[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+"), sensitive: false },
/* 69 urlType */ Text { values: &[], len: (Some(4), Some(2048)), pattern: None, sensitive: false },
/* 70 userIdType */ Text { values: &[], len: (None, None), pattern: None, sensitive: false },
/* 71 userNameType */ Text { values: &[], len: (Some(2), Some(32)), pattern: Some("[\\w+=,.@-]*"), sensitive: false },
/* 72 webIdentitySubjectType */ Text { values: &[], len: (Some(6), Some(255)), pattern: None, sensitive: false },
/* 73 webIdentityTokenAudienceListType */ List { of: 74, item: 52, flattened: false, len: (Some(1), Some(10)) },
/* 74 webIdentityTokenAudienceStringType */ Text { values: &[], len: (Some(1), Some(1000)), pattern: None, sensitive:
false },
/* 75 webIdentityTokenDurationSecondsType */ Integer(Some(60), Some(3600)),
/* 76 webIdentityTokenType */ Text { values: &[], len: (None, None), pattern: None, sensitive: true },
];

#[rustfmt::skip]
static NAMES: &[&str] = &[
"AccessKeyId", "Account", "Arn", "AssumedPrincipal", "AssumedRoleId", "AssumedRoleUser", "Audience",
"ContextAssertion", "Credentials", "DecodedMessage", "DurationSeconds", "EncodedMessage", "Expiration", "ExternalId",
"FederatedUser", "FederatedUserId", "Issuer", "Key", "MinimumSessionTokenSize", "Name", "NameQualifier",
"PackedPolicySize", "Policy", "PolicyArns", "PrincipalArn", "ProvidedContexts", "Provider", "ProviderArn",
"ProviderId", "RoleArn", "RoleSessionName", "SAMLAssertion", "SecretAccessKey", "SerialNumber", "SessionToken",
"SessionTokenSize", "SessionTokenUtilization", "SigningAlgorithm", "SourceIdentity", "Subject",
"SubjectFromWebIdentityToken", "SubjectType", "Tags", "TargetPrincipal", "TaskPolicyArn", "TokenCode", "TradeInToken",
"TransitiveTagKeys", "UserId", "Value", "WebIdentityToken", "arn", "member",
];
