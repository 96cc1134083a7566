(module
  (import "state" "count" (global i32))
  (func (export "process") (param $tick i64)))
