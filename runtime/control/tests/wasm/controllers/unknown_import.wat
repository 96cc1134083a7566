(module
  (import "env" "printf" (func (param i32)))
  (func (export "process") (param $tick i64)))
