//! A job as an HTTP call: the payload is the body, the answer's status is the outcome.
//!
//! | Answer | Outcome |
//! |---|---|
//! | 2xx | done |
//! | 408, 425, 429, 5xx, no answer | one more try, after `Retry-After` where it says so in seconds |
//! | 3xx | dead: redirects are not followed, they may lead anywhere |
//! | other 4xx, an address that may not be reached | dead |

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_change::{Error, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};

use super::address::{Guard, Refused};
use crate::context::Context;
use crate::handler::{Failure, Handler, Outcome, Run};
use crate::job::Job;

/// Characters of an answer that are kept in an error.
const BODY_CHARACTERS: usize = 1_000;

/// Bytes of an answer that are read, so that its connection can be used again.
const BODY_BYTES: usize = 65_536;

/// Longest `Retry-After` that is followed.
const LONGEST_DELAY: Duration = Duration::from_secs(86_400);

/// What is called, and how.
#[derive(Clone)]
pub struct HttpOptions {
    /// `http` or `https`.
    pub url: String,
    /// POST, PUT, PATCH or DELETE.
    pub method: String,
    /// Names and values; the values are secrets.
    pub headers: Vec<(String, String)>,
    /// Name of the header that carries the idempotency key.
    pub idempotency_header: String,
    /// Addresses, networks and host names that may be reached though they are not public.
    pub allow_private: Vec<String>,
    /// How long a call may take, until the end of its answer.
    pub timeout: Duration,
}

impl HttpOptions {
    /// A POST to this URL: `Idempotency-Key`, half a minute, public addresses only.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            idempotency_header: "Idempotency-Key".to_owned(),
            allow_private: Vec::new(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Calls a URL for each job.
pub struct Http(Arc<Endpoint>);

struct Endpoint {
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    idempotency_header: HeaderName,
}

/// What is different about each call.
struct Call {
    /// The same for every try of the job, another one for every other job.
    key: String,
    attempt: u32,
    traceparent: Option<String>,
    payload: String,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({} {})", self.0.method, shown(&self.0.url))
    }
}

fn wrong(message: String, hint: &str) -> Error {
    Error::usage("jobs.http", message).hint(hint)
}

impl Http {
    /// Checks the options and makes a client with connections of its own. Proxies of the environment are not asked: they
    /// would be reached instead of the checked address.
    ///
    /// # Errors
    /// `jobs.http`: the URL, the method, a header or an entry of the allowed addresses is not one, or the URL holds an
    /// address that may not be reached.
    pub fn new(options: &HttpOptions) -> Result<Self> {
        let guard = Guard::new(&options.allow_private)?;
        let url = Url::parse(&options.url)
            .map_err(|error| wrong(format!("the URL cannot be read: {error}"), "write https://host/path"))?;
        let host = match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(host)) => host,
            _ => return Err(wrong("the URL is not one of HTTP".to_owned(), "write https://host/path")),
        };
        guard.check_literal(host).map_err(|refused| wrong(refused.to_string(), NOT_PUBLIC))?;
        let method = match options.method.to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            _ => {
                let message = format!("'{}' is no method for a call with a payload", options.method);
                return Err(wrong(message, "write POST, PUT, PATCH or DELETE"));
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &options.headers {
            // The value may be a secret: it is not repeated.
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| wrong(format!("the value of '{name}' cannot be sent"), "leave out line breaks"))?;
            value.set_sensitive(true);
            headers.insert(header_name(name)?, value);
        }
        let client = Client::builder()
            .dns_resolver(Arc::new(guard))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("headwater-jobs/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(options.timeout)
            .build()
            .map_err(|error| wrong(format!("there can be no client: {error}"), "look at the system's certificates"))?;
        let idempotency_header = header_name(&options.idempotency_header)?;
        Ok(Self(Arc::new(Endpoint { client, method, url, headers, idempotency_header })))
    }
}

const NOT_PUBLIC: &str = "add it to allow-private if the call is meant to go there";

fn header_name(name: &str) -> Result<HeaderName> {
    name.parse().map_err(|_| wrong(format!("'{name}' is no name of a header"), "use letters, digits and '-'"))
}

impl Handler for Http {
    fn run(&self, job: Job, context: Context) -> Run {
        let endpoint = Arc::clone(&self.0);
        let database = context.queue().access().database().unwrap_or_default();
        let call = Call {
            key: format!("{database}-{}", context.id()),
            attempt: context.attempt(),
            traceparent: context.traceparent().map(str::to_owned),
            payload: job.payload,
        };
        // A call that should stop is dropped by the worker, which closes its connection.
        Box::pin(async move { endpoint.call(call).await })
    }
}

impl Endpoint {
    async fn call(&self, call: Call) -> Outcome {
        let mut request = self
            .client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .header(&self.idempotency_header, call.key)
            .header("x-headwater-attempt", call.attempt)
            .body(call.payload);
        if let Some(traceparent) = call.traceparent {
            request = request.header("traceparent", traceparent);
        }
        match request.send().await {
            Ok(response) => self.outcome(response).await,
            Err(error) => Err(self.no_answer(error)),
        }
    }

    async fn outcome(&self, response: Response) -> Outcome {
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let delay = header(RETRY_AFTER).and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let location = header(LOCATION).map(str::to_owned);
        let body = body(response).await;
        if status.is_success() {
            return Ok(());
        }
        let text =
            format!("{} {} answered {status}: {}", self.method, shown(&self.url), super::head(&body, BODY_CHARACTERS));
        Err(match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => retry(delay, text),
            status if status.is_server_error() => retry(delay, text),
            status if status.is_redirection() => {
                let to = location.as_deref().map_or("another place", |text| super::head(text, BODY_CHARACTERS));
                Failure::Dead(format!("{text}; it points to {to}: redirects are not followed, write the final URL"))
            }
            _ => Failure::Dead(text),
        })
    }

    fn no_answer(&self, error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let mut text = format!("{} {} got no answer: {error}", self.method, shown(&self.url));
        let mut cause = error.source();
        while let Some(inner) = cause {
            if inner.is::<Refused>() {
                return Failure::Dead(format!("{} is not called: {inner}; {NOT_PUBLIC}", shown(&self.url)));
            }
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        Failure::Retry(text)
    }
}

fn retry(delay: Option<Duration>, text: String) -> Failure {
    match delay {
        Some(delay) => Failure::RetryIn(delay.min(LONGEST_DELAY), text),
        None => Failure::Retry(text),
    }
}

/// The beginning of an answer's body; what cannot be read is left out.
async fn body(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < BODY_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A URL without what may be a secret in it: user, password, query.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

#[cfg(test)]
mod tests;
