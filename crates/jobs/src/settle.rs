use headwater_change::Result;
use headwater_mysql::driver::Conn;
pub(crate) async fn settle(_conn: &mut Conn, _ids: &[u64], _batches: &[u64]) -> Result<()> {
    Ok(())
}
