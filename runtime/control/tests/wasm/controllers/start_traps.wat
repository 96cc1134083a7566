(module
  (func $check unreachable)
  (start $check)
  (func (export "process") (param $tick i64)))
