(module
  (table 10001 funcref)
  (func (export "process") (param $tick i64)))
