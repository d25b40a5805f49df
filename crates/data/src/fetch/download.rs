//! One download over HTTP, appended to what is there already.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::FetchConfig;
use crate::Error;

pub(super) fn agent(config: &FetchConfig) -> Result<ureq::Agent, Error> {
    let proxy = match &config.proxy {
        Some(address) => Some(ureq::Proxy::new(address).map_err(|error| {
            Error::bad_value("proxy", format!("{address} ({error})"), "http://host:port")
        })?),
        None => None,
    };
    let agent = ureq::Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .user_agent(concat!("fewbit/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(config.timeout))
        .timeout_recv_response(Some(config.timeout))
        .timeout_per_read(Some(config.timeout))
        .build();
    Ok(agent.into())
}

/// Completes `part` from `url`, at most to `most` bytes. What has arrived stays, whatever happens then.
pub(super) fn download(
    agent: &ureq::Agent,
    url: &str,
    part: &Path,
    most: u64,
    report: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let failed = |source| Error::io("write", part, source);
    let mut file =
        File::options().create(true).truncate(false).write(true).open(part).map_err(failed)?;
    let there = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let mut request = agent.get(url);
    if there > 0 {
        request = request.header("Range", format!("bytes={there}-"));
    }
    let response = request.call().map_err(|error| Error::network(url, error))?;
    let mut received = match response.status().as_u16() {
        200 => 0,
        206 if resumes_at(response.headers(), there) => there,
        206 => return Err(restart(&file, part, url, "sent another part than the one asked for")),
        // Nothing is left to send, or the file has changed: what is there decides, by its checksum.
        416 if there > 0 => return Ok(()),
        status => return Err(Error::network(url, format!("answered with status {status}"))),
    };
    // Also where the server ignores the range and sends everything.
    file.set_len(received).and_then(|()| file.seek(SeekFrom::Start(received))).map_err(failed)?;
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0u8; 1 << 16];
    report(received);
    loop {
        let read = match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::network(
                    url,
                    format!("broke off after {received} bytes: {error}"),
                ));
            }
        };
        if received + read as u64 > most {
            return Err(restart(&file, part, url, format!("sent more than {most} bytes")));
        }
        file.write_all(&buffer[..read]).map_err(failed)?;
        received += read as u64;
        report(received);
    }
}

/// Whether the answer starts where the file ends: `Content-Range: bytes 100-199/200`.
fn resumes_at(headers: &ureq::http::HeaderMap, there: u64) -> bool {
    let range = headers.get("Content-Range").and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    start.is_some_and(|(start, _)| start.trim().parse() == Ok(there))
}

/// Throws away what is there: it does not lead to the right file.
fn restart(file: &File, part: &Path, url: &str, reason: impl std::fmt::Display) -> Error {
    match file.set_len(0) {
        Ok(()) => Error::network(url, reason),
        Err(source) => Error::io("write", part, source),
    }
}
