//! Who may use the server, and how one gets there.

use std::process::Command;

use super::{open, settings_at, submit};
use crate::store::contract::redis_server::{RedisServer, cli};
use crate::store::contract::task;
use crate::store::{Error, RedisSettings, Store};

async fn refused(settings: RedisSettings) -> Error {
    match Store::open_redis(settings).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_password_is_needed_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start_on_free_port(folder.path(), &[]);
    cli(&["-p", &server.port.to_string()], &["CONFIG", "SET", "requirepass", "s3cret"], "OK");
    let with = |userinfo: &str| settings_at(&format!("redis://{userinfo}{}", server.address()));
    let store = open(&with(":s3cret@")).await;
    submit(&store, task(1)).await;
    for wrong in ["", ":wr0ng@", "nobody:s3cret@"] {
        let settings = with(wrong);
        assert!(!format!("{settings:?}").contains("s3cret"));
        let error = refused(settings).await;
        let text = format!("{error} {error:?}");
        assert!(matches!(error, Error::Unavailable { .. }), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn an_address_without_a_server_is_unavailable() {
    let error = refused(settings_at("redis://127.0.0.1:1")).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let error =
        refused(RedisSettings { namespace: "a{b".to_owned(), ..RedisSettings::new("redis://127.0.0.1:1") }).await;
    assert!(matches!(error, Error::Address { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_with_an_authority_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let output =
            Command::new("openssl").args(arguments).output().expect("openssl is there: apt-get install openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (ca, ca_key, key, request, certificate) =
        (path("ca.pem"), path("ca.key"), path("key.pem"), path("request.pem"), path("cert.pem"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"];
    openssl(&[&new[..], &["/CN=authority", "-x509", "-days", "2", "-keyout", &ca_key, "-out", &ca]].concat());
    openssl(&[&new[..], &["/CN=localhost", "-keyout", &key, "-out", &request]].concat());
    std::fs::write(path("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &path("names"),
        "-out",
        &certificate,
    ]);
    let data = folder.path().join("data");
    let plain = RedisServer::start_on_free_port(
        &data,
        &[
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ],
    );
    let tls_port = plain.port + 10_000;
    cli(&["-p", &plain.port.to_string()], &["CONFIG", "SET", "tls-port", &tls_port.to_string()], "OK");
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let store = open(&settings_at(&format!("{url}?ca={ca}"))).await;
    submit(&store, task(1)).await;
    let error = refused(settings_at(&url)).await;
    assert!(error.to_string().contains("certificate"), "{error}");
}
