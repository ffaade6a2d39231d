//! nginx with one worker and a constant reply.

use std::path::Path;

use super::daemon::{Account, Daemon, Ending, connect, free_port};
use crate::cores::Cores;
use crate::payload::Reply;

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    _daemon: Daemon,
    pub(crate) port: u16,
}

impl Nginx {
    /// Starts one whose replies have `reply_bytes` bytes. Its files lie in `folder`.
    pub(crate) fn start(reply_bytes: usize, folder: &Path, cores: Cores) -> Result<Self, String> {
        let folder = folder.join("nginx");
        Account::Ourselves.folder(&folder)?;
        let port = free_port()?;
        let file = folder.join("nginx.conf");
        let configuration = configuration(port, &Reply::new(reply_bytes), &folder);
        std::fs::write(&file, configuration).map_err(|error| format!("nginx: {error}"))?;
        let arguments = ["-p", &folder.display().to_string(), "-c", &file.display().to_string()]
            .map(Into::into);
        let (ending, account) = (Ending::Terminate, Account::Ourselves);
        let mut daemon = Daemon::start("nginx", &arguments, &folder, ending, cores, account)?;
        daemon.wait(&folder, || connect(port))?;
        Ok(Self { _daemon: daemon, port })
    }
}

fn configuration(port: u16, reply: &Reply, folder: &Path) -> String {
    let folder = folder.display();
    let Reply { head, part, times, tail } = reply;
    let parts = "$part".repeat(*times);
    // One worker for many connections; whatever would be written or counted besides is off.
    format!(
        r#"daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_requests 4294967295;
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        set $head '{head}';
        set $part '{part}';
        set $tail '{tail}';
        location / {{ return 200 "$head{parts}$tail"; }}
    }}
}}
"#
    )
}
