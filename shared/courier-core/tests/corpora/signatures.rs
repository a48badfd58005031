//! Judges signatures for AWS by AWS's own test suite.

use courier_core::crypto::secret::Secret;
use courier_core::outbound::sigv4::{AwsKeys, Scope, Unsigned, content_sha256, sign};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::cases::{self, Case};
use crate::check;

/// Returns the names of the signed headers, and the signature, for a request of the suite.
fn signature(case: &Case) -> String {
    let (head, body) = case.text().split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(|line| line.split_once(':').unwrap()) {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    let host = headers.remove("host").unwrap();
    let url = format!("https://{}{target}", host.to_str().unwrap());
    let token = headers.remove("x-amz-security-token");
    let token = token.map(|token| Secret::new(token.to_str().unwrap()));
    if !body.is_empty() {
        let hash = content_sha256(body.as_bytes()).parse().unwrap();
        headers.insert("x-amz-content-sha256", hash);
    }
    let keys = AwsKeys::new(
        Secret::new("AKIDEXAMPLE"),
        Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        token,
    );
    let request = Unsigned {
        method: &method.parse::<Method>().unwrap(),
        url: &Url::parse(&url).unwrap(),
        body: body.as_bytes(),
    };
    let scope = Scope {
        region: "us-east-1".to_owned(),
        service: "service".to_owned(),
    };
    let now = "2015-08-30T12:36:00Z".parse().unwrap();
    sign(&request, &keys.unwrap(), &scope, &mut headers, now).unwrap();
    let value = headers["authorization"].to_str().unwrap();
    let known = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
    let rest = value.strip_prefix(known).unwrap();
    rest.replace(", Signature=", " ")
}

#[test]
fn requests_of_the_test_suite_of_aws_get_its_signatures() {
    check(cases::SIGNATURES, 23, signature);
}
