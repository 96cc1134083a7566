(module
  (import "safety" "request_estop" (func $request_estop))
  (func (export "process") (param $tick i64)
    (call $request_estop)))
