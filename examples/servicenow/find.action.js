// Script step of the flow's action "Look at graph-courier". Input: number. Outputs: state (such as running, or nothing), detail.
(function execute(inputs, outputs) {
    var answer = new x_dsar.GraphCourier().find(inputs.number);
    outputs.state = answer.state;
    outputs.detail = answer.detail;
})(inputs, outputs);
