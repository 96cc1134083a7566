(module
  (func $deeper (param $n i64) (result i64)
    (i64.add (i64.const 1) (call $deeper (i64.add (local.get $n) (i64.const 1)))))
  (func (export "process") (param $tick i64)
    (drop (call $deeper (local.get $tick)))))
