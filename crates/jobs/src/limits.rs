use headwater_change::Result;
use headwater_mysql::driver::Conn;
pub(crate) async fn release<'a>(_conn: &mut Conn, _keys: impl Iterator<Item = (&'a str, &'a str)>) -> Result<u64> {
    Ok(0)
}
