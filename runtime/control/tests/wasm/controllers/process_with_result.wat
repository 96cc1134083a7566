(module
  (func (export "process") (param $tick i64) (result i32)
    (i32.const 0)))
