use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A server for one call: answers with this text and hands over what it was asked.
async fn server(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook?token=hidden", listener.local_addr().expect("an address"));
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut asked = Vec::new();
        let mut buffer = [0; 4_096];
        while !asked.ends_with(b"{\"user\": 7}") {
            match stream.read(&mut buffer).await.expect("a request") {
                0 => break,
                length => asked.extend_from_slice(&buffer[..length]),
            }
        }
        stream.write_all(answer.as_bytes()).await.expect("an answer");
        String::from_utf8(asked).expect("text")
    });
    (url, asked)
}

fn endpoint(url: &str, change: impl FnOnce(&mut HttpOptions)) -> Arc<Endpoint> {
    let mut options = HttpOptions::new(url);
    options.allow_private = vec!["127.0.0.1".to_owned()];
    change(&mut options);
    Http::new(&options).expect("options").0
}

fn call() -> Call {
    Call {
        key: "shop-7".to_owned(),
        attempt: 2,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        payload: "{\"user\": 7}".to_owned(),
    }
}

async fn outcome(answer: &'static str) -> Outcome {
    let (url, _asked) = server(answer).await;
    endpoint(&url, |_| ()).call(call()).await
}

#[tokio::test]
async fn a_call_carries_payload_key_attempt_trace_and_headers() {
    let (url, asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let endpoint = endpoint(&url, |options| {
        options.method = "put".to_owned();
        options.idempotency_header = "X-Once".to_owned();
        options.headers = vec![("Authorization".to_owned(), "Bearer secret".to_owned())];
    });
    assert!(!format!("{:?}", Http(Arc::clone(&endpoint))).contains("hidden"));
    endpoint.call(call()).await.expect("done");
    let asked = asked.await.expect("a request").to_lowercase();
    assert!(asked.starts_with("put /hook?token=hidden http/1.1\r\n"), "{asked}");
    for line in [
        "x-once: shop-7",
        "x-headwater-attempt: 2",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "authorization: bearer secret",
        "content-type: application/json",
    ] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} in {asked}");
    }
    assert!(asked.ends_with("\r\n\r\n{\"user\": 7}"), "{asked}");
}

#[tokio::test]
async fn the_status_is_the_outcome() {
    assert!(outcome("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await.is_ok());
    for answer in [
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 425 Too Early\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops",
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: Fri, 31 Dec 1999 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n",
        "this is not HTTP",
    ] {
        let failure = outcome(answer).await.expect_err(answer);
        assert!(matches!(failure, Failure::Retry(_)), "{answer}: {failure:?}");
        assert!(!format!("{failure:?}").contains("hidden"), "{failure:?}");
    }
    for (seconds, waited) in [("7", 7), (" 9999999 ", 86_400)] {
        let answer = format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n");
        let failure = outcome(answer.leak()).await.expect_err("too many");
        assert!(matches!(failure, Failure::RetryIn(delay, _) if delay == Duration::from_secs(waited)), "{failure:?}");
    }
}

#[tokio::test]
async fn what_a_retry_does_not_mend_is_dead_with_what_was_said() {
    let long: &str = format!("HTTP/1.1 422 Unprocessable Entity\r\n\r\n{}", "ä".repeat(3_000)).leak();
    let Err(Failure::Dead(text)) = outcome(long).await else { panic!("422 is dead") };
    assert!(text.contains("answered 422"), "{text}");
    assert_eq!(text.matches('ä').count(), 1_000);
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/meta\r\ncontent-length: 0\r\n\r\n";
    let Err(Failure::Dead(text)) = outcome(moved).await else { panic!("302 is dead") };
    assert!(text.contains("http://169.254.169.254/meta: redirects are not followed"), "{text}");
}

#[tokio::test]
async fn no_answer_is_one_more_try() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let silent = endpoint(&url, |options| options.timeout = Duration::from_millis(50));
    let failure = silent.call(call()).await.expect_err("nobody answers");
    assert!(matches!(&failure, Failure::Retry(text) if text.contains("no answer")), "{failure:?}");
    drop(listener);
    let failure = endpoint(&url, |_| ()).call(call()).await.expect_err("nobody listens");
    assert!(matches!(&failure, Failure::Retry(text) if text.contains("refused")), "{failure:?}");
}

#[tokio::test]
async fn a_name_of_a_private_address_is_not_called() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let url = format!("http://localhost:{port}/");
    let failure = endpoint(&url, |options| options.allow_private.clear()).call(call()).await.expect_err("refused");
    assert!(
        matches!(&failure, Failure::Dead(text) if text.contains("not a public address") && text.contains("allow-private")),
        "{failure:?}"
    );
    let asked = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(asked.is_err(), "nobody was connected to");
    // The same name, listed.
    let (url, _asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    let url = url.replace("127.0.0.1", "localhost");
    endpoint(&url, |options| options.allow_private = vec!["localhost".to_owned()]).call(call()).await.expect("listed");
}

#[test]
fn options_that_cannot_work_are_refused_at_once() {
    let refused = |url: &str, change: fn(&mut HttpOptions)| {
        let mut options = HttpOptions::new(url);
        change(&mut options);
        let error = Http::new(&options).expect_err(url);
        assert_eq!((error.code(), error.hint_text().is_some()), ("jobs.http", true), "{url}");
        error
    };
    for url in [
        "no url",
        "ftp://example.com/",
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
    ] {
        refused(url, |_| ());
    }
    refused("https://example.com/", |options| options.method = "GET".to_owned());
    refused("https://example.com/", |options| options.idempotency_header = "a b".to_owned());
    refused("https://example.com/", |options| options.allow_private = vec!["10.0.0.0/40".to_owned()]);
    let error = refused("https://example.com/", |options| {
        options.headers = vec![("Authorization".to_owned(), "secret\n".to_owned())];
    });
    assert!(!format!("{error:?}").contains("secret"));
}
