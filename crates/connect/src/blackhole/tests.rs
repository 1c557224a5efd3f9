use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use arrow::datatypes::Schema;
use headwater_change::{ChangeBatch, Epoch, Options, Owner, TableId, TableRequest};

#[test]
fn it_takes_rows_and_seals_an_empty_receipt() {
    let request = TableRequest {
        table: TableId::bare("t"),
        schema: Arc::new(Schema::empty()),
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        conditions: vec![],
        first: None,
        options: Options::check("blackhole", super::OPTIONS, [("property-version", "1")]).expect("options"),
        threads: 1,
    };
    let mut writer = super::sink(request).expect("sink").open(&Owner::new(false), Epoch(0)).expect("open");
    let rows = RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1])) as _)]).expect("batch");
    writer.write(&ChangeBatch::insert_only(TableId::bare("t"), rows)).expect("write");
    let receipt = writer.seal(Epoch(1)).expect("seal");
    assert_eq!((receipt.epoch, receipt.token.len()), (Epoch(1), 0));
    writer.publish(&receipt).expect("publish");
}
