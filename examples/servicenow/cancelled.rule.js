// Business rule on sc_req_item, asynchronous, after an update. Condition: the item is the export, and its state changes to Closed Incomplete.
(function executeRule(current, previous) {
    var answer = new x_dsar.GraphCourier().cancel(current.getValue('number'));
    if (answer.status !== 409) { // 409: it has ended already
        current.setValue('work_notes', answer.taken ? 'graph-courier no longer follows the export' : 'It was not cancelled: ' + answer.detail);
        current.update();
    }
})(current, previous);
