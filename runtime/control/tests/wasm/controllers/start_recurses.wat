(module
  (func $deeper (call $deeper))
  (start $deeper)
  (func (export "process") (param $tick i64)))
