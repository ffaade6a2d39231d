//! The certificate of a stack's servers: made for the stack, signed by itself.

use super::account::Account;
use super::error::StackError;
use super::folder::Folder;

/// What clients trust: in the stack's own folder, since the servers' files are another user's.
pub(super) const ROOT: &str = "root.crt";

/// Writes a new certificate and its key for the servers, and the certificate for clients.
pub(super) fn write(folder: &Folder, account: &Account) -> Result<(), StackError> {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).map_err(StackError::Certificate)?;
    let certificate = made.cert.pem();
    folder.write_for_servers("server.crt", &certificate, account)?;
    folder.write_for_servers("server.key", &made.signing_key.serialize_pem(), account)?;
    folder.write(ROOT, &certificate)?;
    Ok(())
}
