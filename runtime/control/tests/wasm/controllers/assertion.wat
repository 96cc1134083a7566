(module
  (func $panic unreachable)
  (func (export "process") (param $tick i64)
    (call $panic)))
