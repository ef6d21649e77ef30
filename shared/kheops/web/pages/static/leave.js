// Where scripts run, nobody has to press the button that takes the logout on to the issuer.
document.getElementById("leave").submit();
