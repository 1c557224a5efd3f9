//! The page that Prometheus scrapes.

use std::future::Future;
use std::net::SocketAddr;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use headwater_change::{Error, Result};

/// Serves `/metrics` at an address until the process ends. `text` is asked at every scrape.
///
/// # Errors
/// `server.listen`: the address cannot be had.
pub async fn serve<F, T>(address: SocketAddr, text: F) -> Result<()>
where
    F: Fn() -> T + Clone + Send + Sync + 'static,
    T: Future<Output = String> + Send + 'static,
{
    let failed = |error: std::io::Error| {
        Error::usage("server.listen", format!("metrics cannot be served at {address}"))
            .detail(error.to_string())
            .hint("another process may have the port: name another one, such as 127.0.0.1:9465")
            .caused_by(error)
    };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(failed)?;
    let page = move || {
        let text = text.clone();
        async move { ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text().await) }
    };
    tokio::spawn(async move {
        let served = axum::serve(listener, Router::new().route("/metrics", get(page))).await;
        if let Err(error) = served {
            tracing::error!("metrics are not served any more: {error}");
        }
    });
    Ok(())
}
